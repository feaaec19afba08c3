// @langchain/langgraph-sdk: its client, against a real server at OCTOPUS_URL.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "@langchain/langgraph-sdk";

const client = new Client({ apiUrl: process.env.OCTOPUS_URL, apiKey: null });
const say = (content) => ({ messages: [{ role: "user", content }] });
const texts = (values) => values.messages.map((message) => message.content);
const collect = async (stream) => {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
};

test("the graph's own assistant is found, drawn and described", async () => {
  const [assistant] = await client.assistants.search({ metadata: { created_by: "system" } });
  assert.equal(assistant.graph_id, "octopus");
  const graph = await client.assistants.getGraph(assistant.assistant_id, { xray: true });
  assert.ok(graph.nodes.some((node) => node.id === "talk"));
  const schemas = await client.assistants.getSchemas("octopus");
  assert.ok(schemas.input_schema.properties.messages);
  assert.deepEqual(Object.keys(await client.assistants.getSubgraphs("octopus")), ["below"]);
});

test("an assistant is made, changed, rolled back and deleted", async () => {
  const made = await client.assistants.create({ graphId: "octopus", name: "mine", context: { pause: 0 } });
  await client.assistants.update(made.assistant_id, { name: "mine again" });
  const versions = await client.assistants.getVersions(made.assistant_id);
  assert.deepEqual(versions.map((one) => one.version), [2, 1]);
  assert.equal((await client.assistants.setLatest(made.assistant_id, 1)).name, "mine");
  await client.assistants.delete(made.assistant_id);
  await assert.rejects(client.assistants.get(made.assistant_id), /404/);
});

test("a run without a thread is waited for and streamed", async () => {
  assert.deepEqual(texts(await client.runs.wait(null, "octopus", { input: say("hi") })), ["hi", "you said: hi"]);
  const parts = await collect(client.runs.stream(null, "octopus", { input: say("hi"), streamMode: ["values", "messages-tuple"] }));
  assert.equal(parts[0].event, "metadata");
  const words = parts.filter((part) => part.event === "messages" && part.data[0].type === "AIMessageChunk");
  assert.equal(words.map((part) => part.data[0].content).join(""), "you said: hi");
});

test("every stream mode says something", async () => {
  const modes = ["values", "updates", "custom", "messages-tuple", "debug", "tasks", "checkpoints", "events"];
  for (const mode of modes) {
    const { thread_id } = await client.threads.create();
    const parts = await collect(client.runs.stream(thread_id, "octopus", { input: say("count 2"), streamMode: mode }));
    const name = mode === "messages-tuple" ? "messages" : mode;
    assert.ok(parts.some((part) => part.event === name), mode);
  }
  const whole = await collect(client.runs.stream(null, "octopus", { input: say("hi"), streamMode: "messages" }));
  assert.equal(whole.filter((part) => part.event === "messages/partial").at(-1).data[0].content, "you said: hi");
});

test("subgraphs stream under their namespace", async () => {
  const parts = await collect(client.runs.stream(null, "octopus", { input: say("hi"), streamMode: "updates", streamSubgraphs: true }));
  assert.ok(parts.some((part) => part.event.startsWith("updates|below:")));
});

test("an interrupt is seen, and answered with a command", async () => {
  const { thread_id } = await client.threads.create();
  const asked = await client.runs.wait(thread_id, "octopus", { input: say("ask me") });
  assert.deepEqual(asked.__interrupt__[0].value, { question: "sure?" });
  const state = await client.threads.getState(thread_id, undefined, { subgraphs: true });
  assert.deepEqual(state.next, ["below"]);
  assert.deepEqual(state.tasks[0].state.next, ["check"]);
  assert.equal((await client.threads.get(thread_id)).status, "interrupted");
  const answered = await client.runs.wait(thread_id, "octopus", { command: { resume: "yes" } });
  assert.equal(answered.steps.at(-1), "yes");
});

test("a thread's state is read, written, and gone through", async () => {
  const { thread_id } = await client.threads.create({ metadata: { user: "ada" } });
  await client.runs.wait(thread_id, "octopus", { input: say("one") });
  await client.threads.updateState(thread_id, { values: { steps: ["by hand"] }, asNode: "below" });
  const history = await client.threads.getHistory(thread_id);
  assert.equal(history[0].values.steps.at(-1), "by hand");
  const before = await client.threads.getState(thread_id, history[1].checkpoint);
  assert.equal(before.checkpoint.checkpoint_id, history[1].checkpoint.checkpoint_id);
  const forked = await client.runs.wait(thread_id, "octopus", { input: say("two"), checkpoint: history[1].checkpoint });
  assert.ok(!forked.steps.includes("by hand"));
  const copy = await client.threads.copy(thread_id);
  assert.equal((await client.threads.getState(copy.thread_id)).values.messages.length, 4);
  await client.threads.delete(thread_id);
  await assert.rejects(client.threads.get(thread_id), /404/);
});

test("runs in the background are joined, listed, stopped and refused", async () => {
  const { thread_id } = await client.threads.create();
  const run = await client.runs.create(thread_id, "octopus", { input: say("count 20"), streamMode: "custom", context: { pause: 0.01 } });
  const parts = await collect(client.runs.joinStream(thread_id, run.run_id, { lastEventId: "-1" }));
  assert.equal(parts.filter((part) => part.event === "custom").length, 20);
  assert.deepEqual(texts(await client.runs.join(thread_id, run.run_id)).length, 2);
  const slow = await client.runs.create(thread_id, "octopus", { input: say("slow"), context: { pause: 60 } });
  await assert.rejects(
    client.runs.create(thread_id, "octopus", { input: say("no"), multitaskStrategy: "reject" }), /409/);
  await client.runs.cancel(thread_id, slow.run_id, true);
  assert.deepEqual((await client.runs.list(thread_id)).map((one) => one.status), ["interrupted", "success"]);
});

test("the store keeps items", async () => {
  await client.store.putItem(["js", "notes"], "one", { text: "kept" });
  assert.deepEqual((await client.store.getItem(["js", "notes"], "one")).value, { text: "kept" });
  assert.equal((await client.store.searchItems(["js"])).items.length, 1);
  assert.deepEqual((await client.store.listNamespaces({ prefix: ["js"] })).namespaces, [["js", "notes"]]);
  await client.store.deleteItem(["js", "notes"], "one");
});

test("errors are told apart", async () => {
  const nowhere = "00000000-0000-4000-8000-000000000000";
  await assert.rejects(client.runs.wait(nowhere, "octopus", { input: say("hi") }), /404/);
  await assert.rejects(client.runs.wait(null, "nobody", { input: say("hi") }), /404/);
  await assert.rejects(client.runs.wait(null, "octopus", { input: say("hi"), streamMode: "values", context: { pause: "no" } }), /422/);
  await assert.rejects(client.runs.wait(null, "octopus", { input: say("fail now") }), /InternalError/);
});
