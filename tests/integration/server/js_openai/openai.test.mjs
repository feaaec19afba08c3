// The official client for JavaScript against the server at OCTOPUS_URL.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.env.OCTOPUS_URL}/v1`, apiKey: "none", maxRetries: 0 });
const said = (content) => [{ role: "user", content }];
const lookup = {
  name: "lookup",
  description: "Looks a number up",
  parameters: { type: "object", properties: { number: { type: "integer" } }, required: ["number"] },
};

test("lists the graph and its experts", async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.deepEqual(names.slice(0, 3), ["octopus", "general", "math"]);
  assert.equal((await client.models.retrieve("math")).object, "model");
});

test("routes a conversation and says in the headers where", async () => {
  const { data, response } = await client.chat.completions
    .create({ model: "octopus", messages: said("the derivative of x^3") })
    .withResponse();
  assert.equal(data.choices[0].message.content, "[math] the derivative of x^3");
  assert.equal(data.choices[0].finish_reason, "stop");
  assert.ok(data.usage.total_tokens > 0);
  assert.equal(response.headers.get("x-octopus-expert"), "math");
  assert.equal(response.headers.get("x-octopus-path"), "math");
  assert.equal(data.id, `chatcmpl-${response.headers.get("x-octopus-run-id")}`);
});

test("streams words, and usage when it is asked for", async () => {
  const stream = await client.chat.completions.create({
    model: "octopus",
    messages: said("the derivative of x^3"),
    stream: true,
    stream_options: { include_usage: true },
  });
  const words = [];
  let usage;
  for await (const chunk of stream) {
    if (chunk.choices[0]?.delta.content) words.push(chunk.choices[0].delta.content);
    usage = chunk.usage ?? usage;
  }
  assert.ok(words.length > 2);
  assert.equal(words.join(""), "[math] the derivative of x^3");
  assert.ok(usage.completion_tokens > 0);
});

test("the stream helper puts a message together", async () => {
  const stream = client.chat.completions.stream({ model: "law", messages: said("a contract") });
  assert.equal((await stream.finalMessage()).content, "[law] a contract");
});

test("tools are called by the runner until the expert answers", async () => {
  const numbers = [];
  const runner = client.chat.completions.runTools({
    model: "octopus",
    messages: said("lookup the derivative 7"),
    tools: [
      {
        type: "function",
        function: {
          ...lookup,
          parse: JSON.parse,
          function: ({ number }) => {
            numbers.push(number);
            return "seven";
          },
        },
      },
    ],
  });
  assert.equal(await runner.finalContent(), "[math] The tool said: seven");
  assert.deepEqual(numbers, [7]);
});

test("tools are called by the runner in streams too", async () => {
  const runner = client.chat.completions.runTools({
    model: "octopus",
    stream: true,
    messages: said("lookup the contract 9"),
    tools: [
      { type: "function", function: { ...lookup, parse: JSON.parse, function: ({ number }) => `number ${number}` } },
    ],
  });
  assert.equal(await runner.finalContent(), "[law] The tool said: number 9");
});

test("an answer keeps the form it is asked for", async () => {
  const answer = await client.chat.completions.parse({
    model: "octopus",
    messages: said("the derivative 3"),
    response_format: {
      type: "json_schema",
      json_schema: {
        name: "result",
        schema: { type: "object", properties: { value: { type: "integer" } }, required: ["value"] },
      },
    },
  });
  assert.deepEqual(answer.choices[0].message.parsed, { value: 3 });
});

test("makes a response and goes on from it", async () => {
  const first = await client.responses.create({ model: "octopus", input: "the derivative of x" });
  assert.equal(first.output_text, "[math] the derivative of x");
  const second = await client.responses.create({
    model: "law",
    input: "a contract",
    previous_response_id: first.id,
  });
  assert.equal(second.previous_response_id, first.id);
  assert.equal((await client.responses.retrieve(second.id)).output_text ?? second.output_text, "[law] a contract");
  await client.responses.delete(first.id);
  await assert.rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError);
});

test("streams a response by typed events", async () => {
  const stream = client.responses.stream({ model: "octopus", input: "the derivative of x" });
  const kinds = new Set();
  stream.on("event", (event) => kinds.add(event.type));
  const response = await stream.finalResponse();
  assert.equal(response.output_text, "[math] the derivative of x");
  for (const kind of ["response.created", "response.output_text.delta", "response.completed"]) {
    assert.ok(kinds.has(kind), kind);
  }
});

test("responses call functions and take their outputs", async () => {
  const tools = [{ type: "function", strict: true, ...lookup }];
  const first = await client.responses.create({ model: "octopus", input: "lookup the derivative 7", tools });
  const call = first.output.find((item) => item.type === "function_call");
  assert.deepEqual(JSON.parse(call.arguments), { number: 7 });
  const second = await client.responses.create({
    model: "octopus",
    previous_response_id: first.id,
    input: [{ type: "function_call_output", call_id: call.call_id, output: "seven" }],
    tools,
  });
  assert.equal(second.output_text, "[math] The tool said: seven");
});

test("errors have the client's own types", async () => {
  const ask = (more) => client.chat.completions.create({ model: "octopus", messages: said("x"), ...more });
  await assert.rejects(ask({ model: "nobody" }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, "model_not_found");
    assert.equal(error.param, "model");
    return true;
  });
  await assert.rejects(ask({ n: 2 }), OpenAI.BadRequestError);
  await assert.rejects(ask({ messages: [] }), OpenAI.BadRequestError);
  await assert.rejects(ask({ model: "chemistry" }), OpenAI.InternalServerError);
});

test("an error within a stream is thrown to who reads it", async () => {
  const stream = await client.chat.completions.create({ model: "chemistry", messages: said("x"), stream: true });
  await assert.rejects(async () => {
    for await (const _ of stream);
  }, OpenAI.APIError);
});
