// useStream, the React hook of @langchain/langgraph-sdk, in a document of jsdom's.
import assert from "node:assert/strict";
import { test } from "node:test";
import { JSDOM } from "jsdom";

const dom = new JSDOM("<div id=root></div>", { url: "http://localhost/" });
globalThis.window = dom.window;
globalThis.document = dom.window.document;
globalThis.navigator ??= dom.window.navigator;
globalThis.IS_REACT_ACT_ENVIRONMENT = false;

const { createElement } = await import("react");
const { createRoot } = await import("react-dom/client");
const { useStream } = await import("@langchain/langgraph-sdk/react");

const say = (content) => ({ messages: [{ type: "human", content }] });

const mount = (options = {}) => {
  const seen = { thread: null };
  const Page = () => {
    seen.stream = useStream({
      apiUrl: process.env.OCTOPUS_URL,
      apiKey: null,
      assistantId: "octopus",
      onThreadId: (id) => { seen.thread = id; },
      onError: (error) => { seen.error = error; },
      ...options,
    });
    return createElement("p", null, `${seen.stream.messages.length} ${seen.stream.interrupt != null}`); // what is read is streamed
  };
  const root = createRoot(document.createElement("div"));
  root.render(createElement(Page));
  return [seen, () => root.unmount()];
};

const until = async (true_, what) => {
  const deadline = Date.now() + 20_000;
  while (!true_()) {
    assert.ok(Date.now() < deadline, `waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

const texts = (seen) => seen.stream.messages.map((message) => message.content);

test("messages arrive word by word, turn after turn", async () => {
  const [seen, unmount] = mount();
  await until(() => seen.stream, "the hook");
  await seen.stream.submit(say("hello"));
  await until(() => !seen.stream.isLoading && texts(seen).length === 2, "the answer");
  assert.deepEqual(texts(seen), ["hello", "you said: hello"]);
  await seen.stream.submit(say("again"));
  await until(() => !seen.stream.isLoading && texts(seen).length === 4, "the second answer");
  assert.deepEqual(texts(seen).slice(2), ["again", "you said: again"]);
  assert.ok(seen.thread);
  unmount();
});

test("an interrupt is shown and answered", async () => {
  const [seen, unmount] = mount();
  await until(() => seen.stream, "the hook");
  await seen.stream.submit(say("ask me"));
  await until(() => seen.stream.interrupt, "the question");
  assert.deepEqual(seen.stream.interrupt.value, { question: "sure?" });
  await seen.stream.submit(undefined, { command: { resume: "yes" } });
  await until(() => !seen.stream.isLoading && seen.stream.values.steps?.at(-1) === "yes", "the answer");
  unmount();
});

test("a page that is opened again joins the run that goes on", async () => {
  const kept = new Map();
  const storage = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => kept.set(key, value),
    removeItem: (key) => kept.delete(key),
  };
  const [first, leave] = mount({ reconnectOnMount: () => storage });
  await until(() => first.stream, "the hook");
  first.stream.submit(say("count 40"), { context: { pause: 0.02 } });
  await until(() => kept.size === 1 && first.thread, "the run");
  leave();
  const [second, unmount] = mount({ threadId: first.thread, reconnectOnMount: () => storage });
  await until(() => second.stream && texts(second).at(-1) === "you said: count 40", "the answer");
  unmount();
});

test("history makes branches, and an edit makes a new one", async () => {
  const [seen, unmount] = mount({ fetchStateHistory: true });
  await until(() => seen.stream, "the hook");
  await seen.stream.submit(say("first"));
  await until(() => !seen.stream.isLoading && seen.stream.history.length > 0 && texts(seen).length === 2, "history");
  const meta = seen.stream.getMessagesMetadata(seen.stream.messages[0]);
  await seen.stream.submit(say("edited"), { checkpoint: meta.firstSeenState.parent_checkpoint });
  await until(() => !seen.stream.isLoading && texts(seen).at(-1) === "you said: edited", "the branch");
  await until(() => seen.stream.getMessagesMetadata(seen.stream.messages[0])?.branchOptions?.length === 2, "branches");
  unmount();
});

test("a failing run is an error, and says nothing of its inside", async () => {
  const [seen, unmount] = mount();
  await until(() => seen.stream, "the hook");
  await seen.stream.submit(say("fail now"));
  await until(() => seen.error, "the error");
  assert.doesNotMatch(String(seen.error), /could not do/);
  unmount();
});

test("stop cancels the run", async () => {
  const [seen, unmount] = mount();
  await until(() => seen.stream, "the hook");
  seen.stream.submit(say("slow"), { context: { pause: 60 } });
  await until(() => seen.thread && seen.stream.isLoading, "the run");
  await seen.stream.stop();
  await until(() => !seen.stream.isLoading, "the end");
  unmount();
});
