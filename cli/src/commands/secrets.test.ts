import { afterEach, expect, test } from "vitest";
import { runProgram } from "../program.ts";
import { stubServer, testTerminal } from "../testing.ts";
import { SECRET_BYTES_MAX } from "./secrets.ts";

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const secret = { name: "github-token", version: 2, created_at: 1_700_000_000_000, actor: "act_1" };

async function run(terminal: Parameters<typeof testTerminal>[0], ...words: string[]) {
  const server = await stubServer(({ method }, response) => {
    if (method !== "DELETE") return [200, method === "GET" ? { items: [secret] } : secret];
    response.writeHead(204).end();
    return undefined;
  });
  closers.push(server.close);
  const io = testTerminal({ env: { GANTRY_URL: server.url, GANTRY_TOKEN: "gtr_x" }, ...terminal });
  const exit = await runProgram(words, io, { server: "", examples: "", version: "0" });
  const sent = server.seen.map(({ method, url, body }) => ({ method, url, body: body === "" ? "" : JSON.parse(body) }));
  return { exit, out: io.out(), err: io.err(), sent };
}
const sentValue = (body: { value_base64: string }) => Buffer.from(body.value_base64, "base64").toString("utf8");

test("secrets set takes the value from standard input, without the line ending that echo adds", async () => {
  for (const [stdin, value] of [
    ["s3cret\n", "s3cret"],
    ["s3cret\r\n", "s3cret"],
    ["s3\ncret", "s3\ncret"],
    ["s3cret\n\n", "s3cret\n"],
  ] as const) {
    const { exit, out, err, sent } = await run({ stdin }, "secrets", "set", "github-token");
    expect({ exit, out, err }).toEqual({ exit: 0, out: "github-token is sealed, version 2\n", err: "" });
    expect(sent).toMatchObject([{ method: "PUT", url: "/v1/secrets/github-token" }]);
    expect(sentValue(sent[0]!.body)).toBe(value);
  }
});

test("secrets set asks on a terminal, and sends what was typed", async () => {
  const { exit, err, sent } = await run({ typed: "s3cret" }, "secrets", "set", "github-token", "--json");
  expect(exit).toBe(0);
  expect(err).toBe("Value of github-token (not shown): ");
  expect(sentValue(sent[0]!.body)).toBe("s3cret");
  expect(await run({ typed: "" }, "secrets", "set", "github-token")).toMatchObject({ exit: 2, sent: [] });
});

test("a value on the command line is refused, says why, and is neither repeated nor sent", async () => {
  for (const words of [["github-token", "hunter2"], ["github-token=hunter2"], ["--json", "github-token", "hunter2"]]) {
    const { exit, out, err, sent } = await run({ stdin: "x" }, "secrets", "set", ...words);
    expect({ exit, sent }).toEqual({ exit: 2, sent: [] });
    expect(out).not.toContain("hunter2");
    expect(err).toContain("every user of this machine can see it");
    expect(err).not.toContain("hunter2");
  }
  const flag = await run({ stdin: "x" }, "secrets", "set", "github-token", "--value=hunter2", "--json");
  expect(flag).toMatchObject({ exit: 2, sent: [] });
  expect(flag.err + flag.out).not.toContain("hunter2");
});

test(`nothing, and more than SECRET_BYTES_MAX bytes, is no secret`, async () => {
  for (const stdin of ["", "\n", "x".repeat(SECRET_BYTES_MAX + 3)]) {
    expect(await run({ stdin }, "secrets", "set", "n")).toMatchObject({ exit: 2, sent: [] });
  }
  const { exit, sent } = await run({ stdin: `${"x".repeat(SECRET_BYTES_MAX)}\n` }, "secrets", "set", "n");
  expect(exit).toBe(0);
  expect(sentValue(sent[0]!.body)).toHaveLength(SECRET_BYTES_MAX);
});

test("secrets list shows names and versions", async () => {
  const { out } = await run({}, "secrets", "list");
  expect(out).toBe(
    ["SECRET        VERSION  SET           BY", "github-token        2  11-14 22:13Z  act_1", ""].join("\n"),
  );
  const json = await run({}, "secrets", "list", "--json");
  expect(JSON.parse(json.out)).toEqual({ items: [secret], more: false });
});

test("secrets rm removes one, by its encoded name", async () => {
  const { exit, out, sent } = await run({}, "secrets", "rm", "a/b");
  expect({ exit, out }).toEqual({ exit: 0, out: "a/b removed\n" });
  expect(sent).toEqual([{ method: "DELETE", url: "/v1/secrets/a%2Fb", body: "" }]);
});
