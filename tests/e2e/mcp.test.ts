import type { IncomingMessage, ServerResponse } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Entry } from "../../sdk/src/types.ts";
import { MCP_REVISIONS } from "../../server/src/mcp/contract.ts";
import { TOOLS } from "../../server/src/mcp/tools.ts";
import { eventually } from "../fixtures/eventually.ts";
import { type McpGround, openMcp, use } from "../fixtures/mcp_clients.ts";
import { openUpstreams, type Upstreams } from "../fixtures/upstreams.ts";

/** What an agent does with the tools, over real HTTP: the protocol's own client against the built server. */

let mcp: McpGround;
let upstreams: Upstreams;
let port: number;
let asked: string[];

beforeAll(async () => {
  asked = [];
  upstreams = openUpstreams();
  port = await upstreams.http((request: IncomingMessage, answer: ServerResponse) => {
    asked.push(`${request.method} ${request.url}`);
    answer.writeHead(200, { "content-type": "application/json" }).end('{"open":3}');
  });
  mcp = await openMcp();
}, 60_000);
afterAll(async () => {
  await mcp?.close();
  await upstreams.close();
});

describe.each(MCP_REVISIONS)("a client of revision %s", (revision) => {
  it("is told which tools there are, with schemas for what they take and say", async () => {
    const client = await mcp.connect(revision);
    expect(client.getNegotiatedProtocolVersion()).toBe(revision);
    expect(client.getInstructions()).toContain("run_code");
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual(TOOLS.map(({ name }) => name));
    for (const tool of tools) {
      expect(tool.title, tool.name).toMatch(/^[A-Z]/);
      expect(tool.outputSchema, tool.name).toMatchObject({ type: "object" });
      expect(Object.keys(tool.annotations ?? {}).sort(), tool.name).toEqual([
        "destructiveHint",
        "idempotentHint",
        "openWorldHint",
        "readOnlyHint",
      ]);
    }
  });

  it("runs code and gets its result, its usage and its log", async () => {
    const client = await mcp.connect(revision);
    const code = "export default ({ a, b }) => { console.log('adding'); return { sum: a + b }; }";
    const { data, text, failed } = await use(client, "run_code", { code, input: { a: 1, b: 2 }, why: "to add" });
    expect([failed, data.termination, data.result], text).toEqual([false, "completed", { sum: 3 }]);
    expect(data.usage.cpu_ms).toBeGreaterThan(0);
    expect(text).toContain('{"sum":3}');
    const log = await use(client, "get_run_logs", { run: data.run });
    expect(log.data.lines).toEqual([expect.objectContaining({ level: "log", text: "adding" })]);
    const again = await use(client, "get_run", { run: data.run });
    expect(again.data).toEqual(data);
  });

  it("hears of progress while a run goes on, when it asked for that", async () => {
    const client = await mcp.connect(revision);
    const heard: string[] = [];
    const onprogress = ({ message }: { message?: string }) => void heard.push(message ?? "");
    const code = "export default () => new Promise((resolve) => setTimeout(() => resolve(1), 300))";
    const { data } = await use(client, "run_code", { code }, { onprogress });
    await eventually(() => heard.length > 0, "progress to be heard");
    expect(heard[0]).toContain(data.run);
  });

  it("is told of a tool that there is not", async () => {
    const client = await mcp.connect(revision);
    await expect(client.callTool({ name: "run_everything", arguments: {} })).rejects.toThrow(/run_everything/);
  });

  it("is told what is wrong with arguments, and nothing runs", async () => {
    const client = await mcp.connect(revision);
    const { failed, text } = await use(client, "run_code", { code: "export default () => 1", wait_ms: -1 });
    expect([failed, text]).toEqual([true, expect.stringContaining("wait_ms")]);
  });
});

const call = (path: string) => `
  export default async ({ port }) => {
    const answer = await fetch("http://127.0.0.1:" + port + "${path}");
    return { status: answer.status, text: await answer.text() };
  };`;

describe("an agent that needs a host which nobody granted", () => {
  it("is told the narrowest rule, proposes it, waits for a person, and then its call goes through", async () => {
    const client = await mcp.connect();
    await mcp.people.apply(
      "tickets",
      "# Ours.\nkind: Contract\nname: tickets\nextends: read-only\negress:\n  - {hosts: [docs.example.com], protocol: https}\n",
    );
    const ask = {
      code: call("/v1/open?key=s3cret"),
      input: { port },
      contract: "tickets",
      why: "count the open tickets",
    };

    const denied = await use(client, "run_code", ask);
    expect(asked).toEqual([]);
    const [refusal] = denied.data.refused_calls;
    expect(refusal, denied.text).toMatchObject({ method: "GET", code: expect.stringMatching(/^EGRESS_/) });
    expect(refusal.rule, denied.text).toMatchObject({ hosts: ["127.0.0.1"], ports: [port], methods: ["GET"] });
    expect(denied.text).toContain("propose_contract");
    expect(denied.text).not.toContain("s3cret");

    // What stands in the answer is what is given back.
    const add_egress = refusal.rule_yaml;
    const preview = await use(client, "propose_contract", { name: "tickets", add_egress, preview: true });
    expect(preview.data).toMatchObject({ outcome: "preview", loosens: true });
    const proposed = await use(client, "propose_contract", { name: "tickets", add_egress });
    expect(proposed.data, proposed.text).toMatchObject({ outcome: "pending", version: 2, loosens: true });
    const { approval } = proposed.data;
    expect(proposed.data.approval_page).toBe(`${mcp.server.url}/approvals/${approval}`);
    expect((await use(client, "list_approvals")).text).toContain(approval);
    const early = await use(client, "await_approval", { approval, wait_ms: 0 });
    expect([early.data.status, early.text]).toEqual(["pending", expect.stringContaining(`gantry approve ${approval}`)]);

    const heard: string[] = [];
    const onprogress = ({ message }: { message?: string }) => void heard.push(message ?? "");
    const waiting = use(client, "await_approval", { approval }, { onprogress });
    await eventually(() => heard.length > 0, "the wait to be told of");
    await mcp.people.approve(approval);
    const decided = await waiting;
    expect(decided.data.status, decided.text).toMatch(/^(approved|executed)$/);

    const went = await use(client, "run_code", ask);
    expect([went.data.termination, went.data.result], went.text).toEqual([
      "completed",
      { status: 200, text: '{"open":3}' },
    ]);
    expect(went.data.contract).toEqual({ name: "tickets", version: 2 });
    expect(asked).toEqual(["GET /v1/open?key=s3cret"]);
    const { items } = await mcp.server.json<{ items: Entry[] }>(`/v1/evidence/entries?ref=${went.data.run}&limit=200`);
    expect(items.map(({ kind }) => kind)).toEqual(expect.arrayContaining(["run.admitted", "run.ended"]));
    for (const { actor, kind } of items) expect([kind, actor.at(-1)?.kind]).toEqual([kind, "agent"]);
    expect(items.some(({ commitments }) => commitments?.["why"] !== undefined)).toBe(true);
    expect(items[0]?.actor.map(({ kind }) => kind)).toEqual(["human", "agent"]);
    expect(went.data.ledger_entries).toEqual(expect.arrayContaining([items.at(-1)?.id]));
  });

  it("learns from test_call and explain_decision what a contract says, without doing anything", async () => {
    const client = await mcp.connect();
    const said = await use(client, "test_call", { contract: "read-only", url: "https://api.example.com/v1/x" });
    expect(said.data).toMatchObject({ verdict: "deny", next_steps: [{ rule: { hosts: ["api.example.com"] } }] });
    const why = await use(client, "explain_decision", {
      action: "run.submit",
      resource: "code:any",
      contract: "production",
    });
    expect(why.data.verdict, why.text).toMatch(/^(deny|needs_human)$/);
    const neither = await use(client, "explain_decision", {});
    expect([neither.failed, neither.text]).toEqual([true, expect.stringContaining("MCP_ARGUMENTS")]);
  });

  it("reads contracts in words and as documents, and cannot add rules to one that is built in", async () => {
    const client = await mcp.connect();
    await mcp.people.apply("own", "# ours\nkind: Contract\nname: own\nextends: read-only\n");
    const { data } = await use(client, "list_contracts");
    expect(data.contracts.map(({ name }: { name: string }) => name)).toEqual(
      expect.arrayContaining(["scratch", "own"]),
    );
    const own = await use(client, "show_contract", { name: "own" });
    expect(own.data.document.text).toContain("# ours");
    const rule = { hosts: ["api.example.com"], protocol: "https" };
    const refused = await use(client, "propose_contract", { name: "read-only", add_egress: [rule] });
    expect([refused.failed, refused.text]).toEqual([true, expect.stringContaining("extends: read-only")]);
    const stale = await use(client, "propose_contract", { name: "own", add_egress: [rule], if_version: 7 });
    expect([stale.failed, stale.text]).toEqual([true, expect.stringContaining("CONTRACT_CONFLICT")]);
    const wrong = await use(client, "propose_contract", {
      name: "own",
      document: "kind: Contract\nname: own\nextneds: x\n",
    });
    expect([wrong.failed, wrong.text]).toEqual([true, expect.stringContaining("extneds")]);
  });

  it("is told that people said no, and what they wrote", async () => {
    const client = await mcp.connect();
    const document =
      "kind: Contract\nname: wide\nextends: read-only\negress:\n  - {hosts: ['**.example.com'], protocol: https}\n";
    const { data } = await use(client, "propose_contract", { name: "wide", document, if_version: 0 });
    const { statement_hash } = await mcp.server.json<{ statement_hash: string }>(`/v1/approvals/${data.approval}`);
    const no = { vote: "decline", statement_hash, note: "name the one host" };
    await mcp.server.json(`/v1/approvals/${data.approval}/votes`, { json: no, token: mcp.people.human });
    const told = await use(client, "await_approval", { approval: data.approval });
    expect(told.data).toMatchObject({ status: "declined", notes: ["name the one host"] });
    expect(told.text).toContain("Do not ask for the same again");
  });
});

describe("a contract whose runs people must approve", () => {
  it("makes a run wait, which starts by itself when they have", async () => {
    const gate = "{on: run.submit, name: look, quorum: 1, not_after_ms: 3600000, execute_before_ms: 600000}";
    await mcp.people.apply("looked-at", `kind: Contract\nname: looked-at\nextends: read-only\ngates:\n  - ${gate}\n`);
    const client = await mcp.connect();
    const asked_for = { code: "export default () => 'ran'", contract: "looked-at", why: "to be looked at" };
    const { data, text } = await use(client, "run_code", asked_for);
    expect([data.state, data.approval], text).toEqual(["waiting_approval", expect.stringMatching(/^apr_/)]);
    expect(text).toContain("await_approval");
    const before = await use(client, "get_approval", { approval: data.approval });
    expect(before.data).toMatchObject({ status: "pending", subject: "run", quorum: 1, approvals: 0 });
    await mcp.people.approve(data.approval);
    const decided = await use(client, "await_approval", { approval: data.approval });
    expect(decided.text).toContain(data.run);
    const ended = await use(client, "get_run", { run: data.run, wait_ms: 20_000 });
    expect([ended.data.termination, ended.data.result], ended.text).toEqual(["completed", "ran"]);
  });
});
