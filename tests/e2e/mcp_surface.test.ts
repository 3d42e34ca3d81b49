import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Page, RunView } from "../../sdk/src/types.ts";
import {
  MCP_AWAIT_MS_DEFAULT,
  MCP_BATCH_MAX,
  MCP_BODY_BYTES_MAX,
  MCP_METADATA_PATH,
  MCP_PATH,
  MCP_REVISIONS,
  MCP_SCOPES,
} from "../../server/src/mcp/contract.ts";
import { eventually } from "../fixtures/eventually.ts";
import { type McpGround, messagesOf, NEWEST, openMcp, rpc, type Said, use } from "../fixtures/mcp_clients.ts";
import { run as runProcess } from "../fixtures/processes.ts";

/** What the endpoint is to whoever asks it: tokens, requests of every form, clients that come and go. */

let mcp: McpGround;

beforeAll(async () => {
  mcp = await openMcp();
}, 60_000);
afterAll(() => mcp?.close());

describe("a token", () => {
  it("without a scope is refused by the tool that needs it, with what to do", async () => {
    const client = await mcp.connect(NEWEST, await mcp.minted(["run:read"]));
    const { failed, text, data } = await use(client, "run_code", { code: "export default () => 1" });
    expect([failed, data.refusal.code]).toEqual([true, "SCOPE_MISSING"]);
    expect(text).toContain("run:submit");
    expect(text).toContain("What to do next:");
  });

  it("that may submit but not read is told the end by the call itself", async () => {
    const client = await mcp.connect(NEWEST, await mcp.minted(["run:submit"]));
    const { data, text } = await use(client, "run_code", { code: "export default () => 7" });
    expect([data.termination, data.result], text).toEqual(["completed", 7]);
  });

  it("that is missing or bad meets 401 and the way to the metadata, by curl as well", async () => {
    const body = JSON.stringify(rpc("tools/list"));
    const args = ["-sS", "-i", "-H", "content-type: application/json", "-d", body, `${mcp.server.url}${MCP_PATH}`];
    const { stdout } = await runProcess("curl", args);
    expect(stdout).toMatch(/^HTTP\/1\.1 401 /);
    const metadata = `${mcp.server.url}${MCP_METADATA_PATH}`;
    expect(stdout.toLowerCase()).toContain(`www-authenticate: bearer resource_metadata="${metadata}"`);
    const bad = await mcp.post(rpc("tools/list"), {}, `gtr_agt_${"x".repeat(36)}`);
    expect([bad.status, bad.headers.get("www-authenticate")]).toEqual([
      401,
      expect.stringContaining('error="invalid_token"'),
    ]);
    expect((await mcp.server.request(MCP_PATH, { token: null })).status).toBe(401);
    const document = await mcp.server.json<Record<string, unknown>>(MCP_METADATA_PATH, { token: null });
    expect(document).toMatchObject({
      resource: `${mcp.server.url}${MCP_PATH}`,
      bearer_methods_supported: ["header"],
      scopes_supported: [...MCP_SCOPES],
    });
    expect(document).not.toHaveProperty("authorization_servers");
    const about = await fetch(String(document["resource_documentation"]));
    expect([about.status, await about.text()]).toEqual([200, expect.stringContaining("gantry tokens mint")]);
  });

  it("that is revoked ends what its client may do with the next request", async () => {
    const token = await mcp.minted(["contract:read"]);
    const client = await mcp.connect(NEWEST, token);
    expect((await use(client, "list_contracts")).failed).toBe(false);
    const { items } = await mcp.server.json<Page<{ id: string; last4: string }>>("/v1/tokens?limit=200");
    const id = items.find(({ last4 }) => token.endsWith(last4))?.id;
    await mcp.server.json(`/v1/tokens/${id}`, { method: "DELETE" });
    await expect(use(client, "list_contracts")).rejects.toThrow();
  });
});

describe("a request", () => {
  it("from a page of another origin is refused, also when Host has the same name", async () => {
    const elsewhere = await mcp.post(rpc("ping"), { origin: "http://evil.example" });
    expect([elsewhere.status, ((await elsewhere.json()) as { code: string }).code]).toEqual([403, "MCP_ORIGIN"]);
    const { host } = new URL(mcp.server.url);
    const rebound = `evil.example:${host.split(":")[1]}`;
    const args = [
      "-sS",
      "-o",
      "/dev/null",
      "-w",
      "%{http_code}",
      "-H",
      `host: ${rebound}`,
      "-H",
      `origin: http://${rebound}`,
    ];
    const { stdout } = await runProcess("curl", [
      ...args,
      "-H",
      `authorization: Bearer ${mcp.agent}`,
      `${mcp.server.url}${MCP_PATH}`,
    ]);
    expect(stdout).toBe("403");
    expect((await mcp.post(rpc("ping"), { origin: mcp.server.url })).status).toBe(200);
  });

  it("larger than MCP_BODY_BYTES_MAX is refused, whether or not it states its length", async () => {
    const bare = JSON.stringify(rpc("ping", { _meta: { pad: "" } }));
    const sized = (bytes: number) => bare.replace('""', `"${"x".repeat(bytes - bare.length)}"`);
    const headers = { "content-type": "application/json", accept: "application/json, text/event-stream" };
    const send = (body: string | ReadableStream) =>
      mcp.server.request(MCP_PATH, {
        method: "POST",
        token: mcp.agent,
        body,
        headers,
        duplex: "half",
      } as RequestInit as object);
    expect((await send(sized(MCP_BODY_BYTES_MAX))).status).toBe(200);
    const stated = await send(sized(MCP_BODY_BYTES_MAX + 1));
    const streamed = await send(new Blob([sized(MCP_BODY_BYTES_MAX + 1)]).stream());
    expect([stated.status, streamed.status]).toEqual([413, 413]);
    expect(await streamed.json()).toMatchObject({ code: "MCP_TOO_LARGE" });
  });

  it("may be a batch of MCP_BATCH_MAX messages for old clients, and no larger one", async () => {
    const batch = (size: number) => Array.from({ length: size }, (_none, id) => rpc("ping", {}, id));
    const most = await mcp.post(batch(MCP_BATCH_MAX), { "mcp-protocol-version": "2025-03-26" });
    expect([most.status, (await messagesOf(most)).length]).toEqual([200, MCP_BATCH_MAX]);
    const over = await mcp.post(batch(MCP_BATCH_MAX + 1), { "mcp-protocol-version": "2025-03-26" });
    expect([over.status, ((await over.json()) as { code: string }).code]).toEqual([400, "MCP_MESSAGE"]);
    const broken = await mcp.server.request(MCP_PATH, {
      token: mcp.agent,
      body: "{",
      headers: { "content-type": "application/json" },
    });
    expect([broken.status, ((await broken.json()) as { code: string }).code]).toEqual([400, "MCP_MESSAGE"]);
  });

  it("of the older revision needs no session and no client library", async () => {
    const version = MCP_REVISIONS[1];
    const hello = { protocolVersion: version, capabilities: {}, clientInfo: { name: "raw", version: "1" } };
    const begun = await mcp.post(rpc("initialize", hello));
    expect(begun.headers.get("mcp-session-id")).toBeNull();
    expect((await messagesOf(begun))[0]).toMatchObject({ result: { protocolVersion: version } });
    const use_it = rpc("tools/call", { name: "run_code", arguments: { code: "export default () => 5" } });
    const [said] = await messagesOf(await mcp.post(use_it, { "mcp-protocol-version": version }));
    expect(said.result.structuredContent).toMatchObject({ termination: "completed", result: 5 });
  });

  it("by any method but POST is answered 405", async () => {
    for (const method of ["GET", "DELETE", "PUT"]) {
      const answer = await mcp.server.request(MCP_PATH, { method, token: mcp.agent });
      expect([method, answer.status, answer.headers.get("allow")]).toEqual([method, 405, "POST"]);
    }
  });
});

describe("clients", () => {
  it("that work at the same time get each their own answers", async () => {
    const pair = await Promise.all(MCP_REVISIONS.map((revision) => mcp.connect(revision)));
    const numbers = Array.from({ length: 6 }, (_none, n) => n);
    const answers = await Promise.all(
      numbers.map((n) => use(pair[n % 2]!, "run_code", { code: "export default (n) => n * 10", input: n })),
    );
    expect(answers.map(({ data }) => data.result)).toEqual(numbers.map((n) => n * 10));
  });

  it("that cancel a call end its run", async () => {
    const client = await mcp.connect();
    const controller = new AbortController();
    const heard: string[] = [];
    const onprogress = ({ message }: { message?: string }) => void heard.push(message ?? "");
    const code = "export default () => new Promise((resolve) => setTimeout(resolve, 25_000))";
    const working = use(client, "run_code", { code }, { signal: controller.signal, onprogress });
    working.catch(() => undefined); // it is looked at below
    await eventually(() => heard.length > 0, "the run to be told of");
    controller.abort();
    await expect(working).rejects.toThrow();
    const run = /run_[0-9a-z]{26}/.exec(heard[0] ?? "")?.[0];
    const ended = async () => (await mcp.server.json<RunView>(`/v1/runs/${run}`)).termination === "cancelled";
    await eventually(ended, "the run to be ended");
    expect((await use(client, "run_code", { code: "export default () => 1" })).data.result).toBe(1);
  });

  it("of the older revision that go away while a run goes on end it as well", async () => {
    const controller = new AbortController();
    const params = {
      name: "run_code",
      arguments: { code: "export default () => new Promise((resolve) => setTimeout(resolve, 25_000))" },
      _meta: { progressToken: "here" },
    };
    const answer = await mcp.server.request(MCP_PATH, {
      json: rpc("tools/call", params),
      token: mcp.agent,
      headers: { accept: "application/json, text/event-stream", "mcp-protocol-version": MCP_REVISIONS[1] },
      signal: controller.signal,
    });
    let text = "";
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
    while (!/run_[0-9a-z]{26}/.test(text)) text += (await reader.read()).value ?? "";
    const run = /run_[0-9a-z]{26}/.exec(text)?.[0];
    controller.abort();
    const ended = async () => (await mcp.server.json<RunView>(`/v1/runs/${run}`)).termination === "cancelled";
    await eventually(ended, "the run to be ended");
  });

  it("end a run by its id, with the older revision too", async () => {
    const client = await mcp.connect(MCP_REVISIONS[1]);
    const code = "export default () => new Promise((resolve) => setTimeout(resolve, 25_000))";
    const started = await use(client, "run_code", { code, wait_ms: 0 });
    expect(started.data.state, started.text).not.toBe("ended");
    const ended = await use(client, "cancel_run", { run: started.data.run });
    expect(ended.data.termination, ended.text).toBe("cancelled");
  });

  it("that cancel a wait for people leave the approval as it is", async () => {
    const client = await mcp.connect();
    const egress = "egress:\n  - {hosts: [a.example.com], protocol: https}\n";
    const document = `kind: Contract\nname: later\nextends: read-only\n${egress}`;
    const { approval } = (await use(client, "propose_contract", { name: "later", document })).data;
    const controller = new AbortController();
    const options = { signal: controller.signal, onprogress: () => controller.abort() };
    const wait = { approval, wait_ms: MCP_AWAIT_MS_DEFAULT };
    await expect(use(client, "await_approval", wait, options)).rejects.toThrow();
    expect((await use(client, "get_approval", { approval })).data.status).toBe("pending");
  });

  it("read a long result and a long log piece by piece", async () => {
    const client = await mcp.connect();
    const code = `export default () => { for (let i = 0; i < 250; i++) console.log("line " + i); return "é".repeat(40_000); }`;
    const first = await use(client, "run_code", { code });
    expect(first.data.result, first.text.slice(0, 500)).toBeUndefined();
    let json = "";
    for (let offset: number | undefined = 0; offset !== undefined; ) {
      const { result_part }: Said["data"] = (await use(client, "get_run", { run: first.data.run, offset })).data;
      json += result_part.text;
      offset = result_part.next_offset;
    }
    expect(JSON.parse(json)).toBe("é".repeat(40_000));
    const lines: string[] = [];
    for (let after: number | undefined = 0; after !== undefined; ) {
      const page: Said = await use(client, "get_run_logs", { run: first.data.run, after });
      lines.push(...page.data.lines.map(({ text }: { text: string }) => text));
      after = page.data.next_after;
    }
    expect(lines).toEqual(Array.from({ length: 250 }, (_none, n) => `line ${n}`));
  });

  it("find what else the API can do, with its schemas", async () => {
    const client = await mcp.connect();
    const found = await use(client, "search_api", { query: "revoke token" });
    expect(found.data.operations[0]).toMatchObject({ operation: "DELETE /v1/tokens/{id}" });
    const one = await use(client, "search_api", { operation: "POST /v1/runs" });
    expect(one.data.schema.text).toContain("RunRequest");
    const none = await use(client, "search_api", { operation: "POST /v1/nothing" });
    expect([none.failed, none.data.refusal.code]).toEqual([true, "MCP_ARGUMENTS"]);
  });
});
