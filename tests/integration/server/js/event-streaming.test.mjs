// The event streaming of @langchain/langgraph-sdk: client.threads.stream, on /commands and /stream/events.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "@langchain/langgraph-sdk";

const client = new Client({ apiUrl: process.env.OCTOPUS_URL, apiKey: null });
const say = (content) => ({ messages: [{ role: "user", content }] });

test("a run is started, its words stream, its output arrives", async () => {
  const thread = client.threads.stream({ assistantId: "octopus" });
  try {
    const said = (async () => {
      for await (const message of thread.messages) {
        let text = "";
        for await (const token of message.text) text += token;
        return text;
      }
    })();
    const { run_id } = await thread.run.start({ input: say("hello") });
    assert.ok(run_id);
    assert.equal(await said, "you said: hello");
    const output = await thread.output;
    assert.equal(output.steps.at(-1), "checked");
  } finally {
    await thread.close();
  }
});

test("an interrupt is seen and answered", async () => {
  const thread = client.threads.stream({ assistantId: "octopus" });
  try {
    await thread.run.start({ input: say("ask me") });
    const deadline = Date.now() + 20_000;
    while (!thread.interrupts.length) {
      assert.ok(Date.now() < deadline, "waited in vain for the question");
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const [asked] = thread.interrupts;
    assert.deepEqual(asked.payload ?? asked.value, { question: "sure?" });
    await thread.input.respond({ namespace: asked.namespace, interrupt_id: asked.interruptId, response: "yes" });
    while ((await client.threads.getState(thread.threadId)).next.length) {
      assert.ok(Date.now() < deadline, "waited in vain for the end");
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const state = await client.threads.getState(thread.threadId);
    assert.equal(state.values.steps.at(-1), "yes");
  } finally {
    await thread.close();
  }
});

test("channels are listened to by name", async () => {
  const thread = client.threads.stream({ assistantId: "octopus" });
  try {
    const heard = [];
    const custom = await thread.subscribe({ channels: ["custom"] });
    await thread.run.start({ input: say("count 5") });
    for await (const event of custom) {
      heard.push(event.params?.data?.payload?.number ?? event.number ?? event);
      if (heard.length === 5) break;
    }
    assert.deepEqual(heard, [0, 1, 2, 3, 4]);
  } finally {
    await thread.close();
  }
});
