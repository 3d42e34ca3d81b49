import { createServer, get, type IncomingMessage, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import type { HostOutcome } from "../../../isolate/src/protocol.ts";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import type { CompiledCode } from "./contract.ts";
import { type HostAnswer, judgeAnswer, readAnswer } from "./result.ts";

const CODE = { hash: "", entry: "main.ts", modules: [], facts: {} } as unknown as CompiledCode;

function judge(outcome: HostOutcome, body: string | Buffer, head?: HostAnswer["head"]) {
  const said = { begun: 5, started: 7, is_silent: true };
  return judgeAnswer({ outcome, head, body: Buffer.from(body as string), ...said }, CODE);
}

const fault = (parts: object): string => JSON.stringify({ name: "Error", message: "no", ...parts });

describe("judging what the host answered", () => {
  it("a value is its JSON text as it came", () => {
    expect(judge("value", '{"a": 1}')).toEqual({ ending: "completed", result: '{"a": 1}' });
  });

  it.each(["", "undefined", "{", "NaN", "[1] 2"])("%j is no JSON, whatever the wrapper said", (body) => {
    expect(judge("value", body)).toMatchObject({ ending: "threw", error: { code: "RUN_RESULT_NOT_JSON" } });
  });

  it.each<[HostOutcome, string, string]>([
    ["threw", "threw", "RUN_THREW"],
    ["not_json", "threw", "RUN_RESULT_NOT_JSON"],
    ["never_settles", "threw", "RUN_NEVER_SETTLES"],
    ["load_failed", "load_failed", "RUN_LOAD_FAILED"],
    ["no_entry", "load_failed", "CODE_NO_ENTRY"],
  ])("%s ends %s with %s", (outcome, ending, code) => {
    expect(judge(outcome, fault({}))).toMatchObject({ ending, error: { code } });
  });

  it("output that is too long has an ending and no result", () => {
    expect(judge("output_exceeded", "")).toEqual({ ending: "output_exceeded" });
  });

  it("what was thrown is quoted, and cut", () => {
    const { error } = judge(
      "threw",
      fault({ name: "N".repeat(200), message: "m".repeat(5_000), stack: "s".repeat(9_000) }),
    );
    expect(error?.name).toHaveLength(128);
    expect(error?.detail).toHaveLength(128 + 2 + 4_096);
    expect(error?.stack).toHaveLength(4_096);
  });

  it("a fault without texts is one all the same", () => {
    expect(judge("threw", "{}").error?.detail).toBe("undefined: undefined");
  });

  it("a top level that failed is told in one line, without the engine's own words around it", () => {
    const message = "Failed to start Worker:\nUncaught TypeError: a is not a function\n  at main.js:1:7";
    expect(judge("load_failed", fault({ message })).error?.detail).toBe(
      "The code did not load: TypeError: a is not a function at main.js:1:7",
    );
  });
});

describe("a Response as a result", () => {
  const head = (type?: string): HostAnswer["head"] => ({
    status: 201,
    headers: type === undefined ? [] : [["Content-Type", type]],
  });

  it.each<[string, string | undefined, string | Buffer, string]>([
    ["JSON that says so", "application/json; charset=utf-8", '{"a": 1}', '{"a": 1}'],
    ["JSON of a vendor", "application/problem+json", "[1]", "[1]"],
    ["text that only says that it is JSON", "application/json", "{oops", '"{oops"'],
    ["text", "text/plain", 'a "b"', '"a \\"b\\""'],
    ["text without a type", undefined, "1", '"1"'],
    ["no body", undefined, "", '""'],
    ["bytes", "application/json", Buffer.of(0xff, 0xfe), '{"base64":"//4="}'],
  ])("%s", (_, type, body, result) => {
    expect(judge("http", body, head(type))).toEqual({ ending: "completed", result, http: head(type) });
  });

  it("without a head has no http", () => {
    expect(judge("http", "x")).toEqual({ ending: "completed", result: '"x"' });
  });
});

describe("reading the answer", () => {
  let server: Server | undefined;
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
  });

  async function ask(handler: RequestListener): Promise<IncomingMessage> {
    server = createServer(handler);
    await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    return new Promise((resolve, reject) => get({ port, host: "127.0.0.1" }, resolve).on("error", reject));
  }

  const answer =
    (outcome: string, body: string, headers = {}): RequestListener =>
    (_, response) =>
      response.writeHead(200, { "gantry-outcome": `${outcome} 5 7`, ...headers }).end(body);

  it.each(["value", "http"])("a body of %s has at most bytes_max bytes", async (outcome) => {
    expect((await readAnswer(await ask(answer(outcome, "12345")), 5))?.body.toString()).toBe("12345");
    server?.close();
    expect(await readAnswer(await ask(answer(outcome, "123456")), 5)).toBeUndefined();
  });

  it("a fault is not output: the run's limit does not cut it", async () => {
    expect((await readAnswer(await ask(answer("threw", fault({}))), 1))?.body.toString()).toBe(fault({}));
    server?.close();
    expect(await readAnswer(await ask(answer("threw", "x".repeat(256 * 1024 + 1))), 1)).toBeUndefined();
  });

  it("an endless body is read to the limit and not further", async () => {
    let stopped = false;
    const response = await ask((_, out) => {
      out.writeHead(200, { "gantry-outcome": "http 5 7" });
      const more = (): void => {
        if (!stopped) out.write("x".repeat(1_000), () => setImmediate(more));
      };
      out.on("close", () => {
        stopped = true;
      });
      more();
    });
    expect(await readAnswer(response, 10_000)).toBeUndefined();
    await eventually(() => stopped, "the connection to be given up");
  });

  it("the head is read as UTF-8", async () => {
    const head = { status: 200, headers: [["x-a", "ü€😀"]] };
    const bytes = Buffer.from(JSON.stringify(head)).toString("latin1");
    expect((await readAnswer(await ask(answer("http", "", { "gantry-http": bytes })), 5))?.head).toEqual(head);
  });

  it.each([
    ["value 5 7 silent", { outcome: "value", begun: 5, started: 7, is_silent: true }],
    ["threw 5 7", { outcome: "threw", begun: 5, started: 7, is_silent: false }],
    ["value 5 NaN", { outcome: "value", begun: 5, started: undefined, is_silent: false }],
    ["stopped 5 -", { outcome: "stopped", begun: 5, started: undefined, is_silent: false }],
  ])("%s says when the guest began, and whether it printed", async (words, said) => {
    const response = await ask((_, out) => out.writeHead(200, { "gantry-outcome": words }).end("{}"));
    expect(await readAnswer(response, 5)).toMatchObject(said);
  });

  it("an answer without an outcome is not the host's", async () => {
    const response = await ask((_, out) => out.writeHead(500).end("oops"));
    await expect(readAnswer(response, 5)).rejects.toThrow("500 without an outcome");
  });
});
