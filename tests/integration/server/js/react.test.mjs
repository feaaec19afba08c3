// useStream, the React hook of @langchain/react, which speaks the event streaming, in a document of jsdom's.
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
const { useStream } = await import("@langchain/react");

const say = (content) => ({ messages: [{ type: "human", content }] });

const mount = (options = {}) => {
  const seen = { thread: null };
  const Page = () => {
    seen.stream = useStream({
      apiUrl: process.env.OCTOPUS_URL,
      apiKey: null,
      assistantId: "octopus",
      onThreadId: (id) => { seen.thread = id; },
      ...options,
    });
    return createElement("p", null, `${seen.stream.messages.length} ${seen.stream.interrupt != null}`);
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

const texts = (seen) => seen.stream.messages.map((message) => message.text ?? message.content);

test("messages arrive, turn after turn", async () => {
  const [seen, unmount] = mount();
  await until(() => seen.stream, "the hook");
  await seen.stream.submit(say("hello"));
  await until(() => !seen.stream.isLoading && texts(seen).length === 2, "the answer");
  assert.deepEqual(texts(seen), ["hello", "you said: hello"]);
  await seen.stream.submit(say("again"));
  await until(() => !seen.stream.isLoading && texts(seen).length === 4, "the second answer");
  assert.deepEqual(texts(seen).slice(2), ["again", "you said: again"]);
  unmount();
});

test("an interrupt is shown and answered", async () => {
  const [seen, unmount] = mount();
  await until(() => seen.stream, "the hook");
  await seen.stream.submit(say("ask me"));
  await until(() => seen.stream.interrupt, "the question");
  assert.deepEqual(seen.stream.interrupt.value, { question: "sure?" });
  await seen.stream.respond("yes");
  await until(() => !seen.stream.isLoading && seen.stream.values.steps?.at(-1) === "yes", "the answer");
  unmount();
});

test("a thread that was left is opened again with all it holds", async () => {
  const [first, leave] = mount();
  await until(() => first.stream, "the hook");
  await first.stream.submit(say("hello"));
  await until(() => first.thread && !first.stream.isLoading && texts(first).length === 2, "the answer");
  leave();
  const [second, unmount] = mount({ threadId: first.thread });
  await until(() => second.stream && texts(second).length === 2, "what was said before");
  assert.deepEqual(texts(second), ["hello", "you said: hello"]);
  unmount();
});

test("a failing run is an error, and says nothing of its inside", async () => {
  const [seen, unmount] = mount();
  await until(() => seen.stream, "the hook");
  seen.stream.submit(say("fail now"))?.catch?.(() => {});
  await until(() => seen.stream.error, "the error");
  assert.doesNotMatch(String(seen.stream.error), /could not do/);
  unmount();
});
