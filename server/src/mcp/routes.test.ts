import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Hono } from "hono";
import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import { inProcess } from "../http/in_process.ts";
import { WAIT_MS_MAX } from "../intent/contract.ts";
import { silentLogger } from "../kernel/log.ts";
import {
  MCP_AWAIT_MS_DEFAULT,
  MCP_AWAIT_MS_MAX,
  MCP_DELTA_LINES_MAX,
  MCP_DOCUMENT_CHARS_MAX,
  MCP_ERROR_CHARS_MAX,
  MCP_INPUT_ELEMENTS_MAX,
  MCP_LOG_LINE_CHARS_MAX,
  MCP_LOG_LINES_MAX,
  MCP_LOOK_MS,
  MCP_PAGE_MAX,
  MCP_PATH,
  MCP_PROGRESS_MS,
  MCP_QUERY_CHARS_MAX,
  MCP_REFUSALS_MAX,
  MCP_REVISIONS,
  MCP_WAIT_MS_DEFAULT,
  MCP_WAIT_MS_MAX,
} from "./contract.ts";
import { mcpRoutes } from "./routes.ts";

/** The endpoint over an API that answers what a test says: for what a real one does not do in time, or not so much of. */

const ORIGIN = "http://127.0.0.1:4280";
const SCOPES = ["run:submit", "run:read", "contract:read", "contract:propose", "gate:read"];

interface Endpoint {
  client: Client;
  clock: VirtualClock;
  /** Paths that the API was asked for, with their queries. */
  asked: string[];
  raw(init: RequestInit): Promise<Response>;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads it member by member
  use(name: string, args: object, options?: object): Promise<{ failed: boolean; data: any; text: string }>;
}

async function open(answers: Record<string, (body: unknown) => unknown> = {}): Promise<Endpoint> {
  const asked: string[] = [];
  const clock = new VirtualClock();
  const routes = mcpRoutes({
    version: "1",
    clock,
    log: silentLogger,
    api: inProcess(async (request) => {
      const { pathname, search } = new URL(request.url);
      if (pathname === "/v1/me") return Response.json({ actor: { id: "act_1" }, scopes: SCOPES });
      asked.push(pathname + search);
      const answer = answers[`${request.method} ${pathname}`];
      if (answer === undefined) throw new Error(`nobody said what ${request.method} ${pathname} answers`);
      const text = await request.text();
      const said = answer(text.startsWith("{") ? JSON.parse(text) : text);
      return said instanceof Response ? said : Response.json(said);
    }),
  });
  const app = new Hono().route("/", routes);
  const headers = { authorization: "Bearer gtr_agt_test" };
  const client = new Client({ name: "t", version: "1" }, { versionNegotiation: { mode: { pin: MCP_REVISIONS[0] } } });
  await client.connect(
    new StreamableHTTPClientTransport(new URL(MCP_PATH, ORIGIN), {
      requestInit: { headers },
      fetch: async (url, init) => app.fetch(new Request(url, init)),
    }),
  );
  return {
    client,
    clock,
    asked,
    raw: async (init) =>
      app.fetch(new Request(new URL(MCP_PATH, ORIGIN), { ...init, headers: { ...headers, ...init.headers } })),
    async use(name, args, options) {
      const result = await client.callTool({ name, arguments: args as Record<string, unknown> }, options);
      const [block] = result.content as { text?: string }[];
      return { failed: result.isError === true, data: result.structuredContent, text: block?.text ?? "" };
    },
  };
}

const run = (more: object = {}) => ({
  id: "run_1",
  state: "ended",
  termination: "completed",
  contract: { name: "own", version: 1 },
  result: 1,
  evidence: { entries: [] },
  ...more,
});

describe("a run", () => {
  it("can be waited for as long as the API allows: MCP_WAIT_MS_MAX, in slices of MCP_PROGRESS_MS", async () => {
    expect([MCP_WAIT_MS_MAX, MCP_WAIT_MS_DEFAULT < MCP_WAIT_MS_MAX]).toEqual([WAIT_MS_MAX, true]);
    const { use, asked, clock } = await open({
      "GET /v1/runs/run_1": () => {
        clock.advance(MCP_PROGRESS_MS);
        return run({ state: "running", termination: undefined });
      },
    });
    const { data } = await use("get_run", { run: "run_1", wait_ms: MCP_WAIT_MS_MAX });
    expect(data.state).toBe("running");
    expect(asked).toHaveLength(1 + MCP_WAIT_MS_MAX / MCP_PROGRESS_MS);
    expect(asked[1]).toBe(`/v1/runs/run_1?wait_ms=${MCP_PROGRESS_MS}`);
    const over = await use("get_run", { run: "run_1", wait_ms: MCP_WAIT_MS_MAX + 1 });
    expect([over.failed, over.text]).toEqual([true, expect.stringContaining("wait_ms")]);
  });

  it("that failed shows at most MCP_ERROR_CHARS_MAX of what it threw", async () => {
    const shown = async (chars: number) => {
      const error = { code: "RUN_THREW", detail: "x".repeat(chars) };
      const { use } = await open({ "GET /v1/runs/run_1": () => run({ termination: "threw", error }) });
      return (await use("get_run", { run: "run_1" })).data.error.detail as string;
    };
    expect(await shown(MCP_ERROR_CHARS_MAX)).toHaveLength(MCP_ERROR_CHARS_MAX);
    expect(await shown(MCP_ERROR_CHARS_MAX + 1)).toMatch(/x… \[1 more characters\]$/);
  });

  it("with many refused calls has the rules of MCP_REFUSALS_MAX of them looked up, and names all", async () => {
    const row = { host: "a.example", method: "GET", verdict: "denied", code: "EGRESS_PATH", count: 99 };
    const lines = Array.from({ length: MCP_REFUSALS_MAX + 1 }, (_none, n) => ({
      ...row,
      url: `https://a.example/${n}?key=`,
    }));
    const step = { kind: "contract.egress.rule", text: "t", rule: { hosts: ["a.example"] } };
    const { use, asked } = await open({
      "GET /v1/runs/run_1": () => run({ egress: [row] }),
      "GET /v1/runs/run_1/egress": () => ({ rows: [row], lines: [...lines, ...lines] }),
      "POST /v1/egress/test": () => ({ verdict: "deny", next_steps: [step] }),
    });
    const { data } = await use("get_run", { run: "run_1" });
    expect(data.refused_calls).toHaveLength(MCP_REFUSALS_MAX + 1);
    expect(data.refused_calls[0]).toMatchObject({
      where: "https://a.example/0",
      count: 2,
      rule_yaml: expect.any(String),
    });
    expect(data.refused_calls.at(-1)).not.toHaveProperty("rule");
    expect(asked.filter((path) => path === "/v1/egress/test")).toHaveLength(MCP_REFUSALS_MAX);
  });
});

describe("a log", () => {
  const served = (lines: { text: string }[]) => {
    const text = lines.map((line, n) => `${JSON.stringify({ seq: n + 1, at: 0, level: "log", ...line })}\n`).join("");
    return open({
      "GET /v1/runs/run_1/logs": () => new Response(text, { headers: { "content-type": "application/x-ndjson" } }),
    });
  };

  it("has MCP_LOG_LINES_MAX lines on a page, and says where the next begins", async () => {
    const lines = (count: number) => Array.from({ length: count }, () => ({ text: "x" }));
    const whole = await (await served(lines(MCP_LOG_LINES_MAX))).use("get_run_logs", { run: "run_1" });
    expect([whole.data.lines.length, whole.data.next_after]).toEqual([MCP_LOG_LINES_MAX, undefined]);
    const more = await (await served(lines(MCP_LOG_LINES_MAX + 1))).use("get_run_logs", { run: "run_1" });
    expect([more.data.lines.length, more.data.next_after]).toEqual([MCP_LOG_LINES_MAX, MCP_LOG_LINES_MAX]);
    expect(more.text).toContain(`after ${MCP_LOG_LINES_MAX}`);
  });

  it("shows MCP_LOG_LINE_CHARS_MAX of a line", async () => {
    const { use } = await served([
      { text: "x".repeat(MCP_LOG_LINE_CHARS_MAX) },
      { text: "x".repeat(MCP_LOG_LINE_CHARS_MAX + 1) },
    ]);
    const { data } = await use("get_run_logs", { run: "run_1" });
    expect(data.lines[0].text).toHaveLength(MCP_LOG_LINE_CHARS_MAX);
    expect(data.lines[1].text).toContain("… [1 more characters]");
  });
});

describe("contracts", () => {
  it("come MCP_PAGE_MAX on a page", async () => {
    const items = Array.from({ length: MCP_PAGE_MAX + 1 }, (_none, n) => ({
      name: `c${n}`,
      version: 1,
      class: "read-only",
      built_in: false,
      state: "active",
      pending: null,
      contract: {},
    }));
    const { use } = await open({ "GET /v1/contracts": () => ({ items }) });
    const first = await use("list_contracts", {});
    expect([first.data.contracts.length, first.data.next]).toEqual([MCP_PAGE_MAX, `c${MCP_PAGE_MAX - 1}`]);
    const second = await use("list_contracts", { after: first.data.next });
    expect([second.data.contracts.length, second.data.next]).toEqual([1, undefined]);
  });

  it("may be MCP_DOCUMENT_CHARS_MAX long, and MCP_DELTA_LINES_MAX lines of a change are shown", async () => {
    const delta = (count: number) => ({
      loosens: true,
      lines: Array.from({ length: count }, () => ({ at: "/egress", change: "added", loosens: true, text: "a rule" })),
    });
    let lines = MCP_DELTA_LINES_MAX;
    const { use } = await open({
      "POST /v1/contracts/own/diff": () => ({ name: "own", version: 1, delta: delta(lines) }),
    });
    const propose = (document: string) => use("propose_contract", { name: "own", document, preview: true });
    expect((await propose("x".repeat(MCP_DOCUMENT_CHARS_MAX))).data).toMatchObject({ changes_left_out: 0 });
    lines += 1;
    const more = await propose("x");
    expect([more.data.changes.length, more.data.changes_left_out]).toEqual([MCP_DELTA_LINES_MAX, 1]);
    expect((await propose("x".repeat(MCP_DOCUMENT_CHARS_MAX + 1))).failed).toBe(true);
  });
});

describe("a wait for people", () => {
  it("looks each MCP_LOOK_MS for at most MCP_AWAIT_MS_MAX, and tells each MCP_PROGRESS_MS", async () => {
    expect(MCP_AWAIT_MS_DEFAULT).toBeLessThan(MCP_AWAIT_MS_MAX);
    const approval = {
      id: "apr_1",
      status: "pending",
      subject: "run",
      subject_id: "run_1",
      run: "run_1",
      statement: { quorum: 1, not_after: 0 },
      preview: { summary: "s" },
      votes: [],
    };
    const { use, asked, clock } = await open({ "GET /v1/approvals/apr_1": () => approval });
    const heard: string[] = [];
    const options = { onprogress: ({ message }: { message?: string }) => void heard.push(message ?? "") };
    let ended = false;
    const waiting = use("await_approval", { approval: "apr_1", wait_ms: MCP_AWAIT_MS_MAX }, options);
    void waiting.finally(() => {
      ended = true;
    });
    for (; !ended; await new Promise(setImmediate)) if (clock.pending > 0) clock.advance(MCP_LOOK_MS);
    expect((await waiting).data.status).toBe("pending");
    expect(asked).toHaveLength(1 + MCP_AWAIT_MS_MAX / MCP_LOOK_MS);
    expect(heard).toHaveLength(MCP_AWAIT_MS_MAX / MCP_PROGRESS_MS);
    expect((await use("await_approval", { approval: "apr_1", wait_ms: MCP_AWAIT_MS_MAX + 1 })).failed).toBe(true);
  });
});

describe("what a client sends", () => {
  it("may have MCP_INPUT_ELEMENTS_MAX elements in its arguments", async () => {
    const { use } = await open({ "POST /v1/runs": () => run() });
    // One element each for `code`, for `input`, and for each of its own.
    const sent = (elements: number) =>
      use("run_code", { code: "x", input: Array.from({ length: elements - 2 }, () => 0) });
    expect((await sent(MCP_INPUT_ELEMENTS_MAX)).failed).toBe(false);
    const over = await sent(MCP_INPUT_ELEMENTS_MAX + 1);
    expect([over.failed, over.text]).toEqual([true, expect.stringContaining(String(MCP_INPUT_ELEMENTS_MAX))]);
  });

  it("may search with MCP_QUERY_CHARS_MAX characters", async () => {
    const { use } = await open({ "GET /v1/openapi.json": () => ({ paths: {} }) });
    expect((await use("search_api", { query: "x".repeat(MCP_QUERY_CHARS_MAX) })).failed).toBe(false);
    expect((await use("search_api", { query: "x".repeat(MCP_QUERY_CHARS_MAX + 1) })).failed).toBe(true);
  });

  it("keeps no stream open for changes that never come", async () => {
    const { raw } = await open();
    const meta = {
      "io.modelcontextprotocol/protocolVersion": MCP_REVISIONS[0],
      "io.modelcontextprotocol/clientInfo": { name: "t", version: "1" },
      "io.modelcontextprotocol/clientCapabilities": {},
    };
    const params = { _meta: meta, notifications: { toolsListChanged: true } };
    const answer = await raw({
      method: "POST",
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "subscriptions/listen", params }),
      headers: {
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
        "mcp-protocol-version": MCP_REVISIONS[0],
        "mcp-method": "subscriptions/listen",
      },
    });
    const text = await answer.text();
    expect(text).toContain("notifications/subscriptions/acknowledged");
    expect(text).toContain('"resultType":"complete"');
  });

  it("and that makes a tool fail inside is answered without a word of the inside", async () => {
    const { use } = await open({
      "GET /v1/contracts": () => {
        throw new Error("at /srv/secret");
      },
    });
    const { failed, data, text } = await use("list_contracts", {});
    expect([failed, data.refusal.code]).toEqual([true, "MCP_INTERNAL"]);
    expect(text).not.toContain("secret");
  });
});
