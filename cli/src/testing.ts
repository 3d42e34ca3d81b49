import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Approval, Figures, LaneFigures, Preview, RunView, Statement } from "@gantry/sdk";
import { canonicalHash } from "../../sdk/src/canonical.ts";
import type { Terminal } from "./terminal.ts";

/** A terminal whose output a test reads and whose Ctrl-C it presses. */
export interface TestTerminal extends Terminal {
  out(): string;
  err(): string;
  interrupt(): void;
  /** Types a key for whoever listens to keys. */
  press(key: string): void;
}

/** @param parts  `tty` makes both outputs terminals of 80 columns; `typed` is what a person answers to each question. */
export function testTerminal(
  parts: {
    cwd?: string;
    env?: Terminal["env"];
    tty?: boolean;
    stdin?: string;
    typed?: string;
    columns?: number;
    rows?: number;
  } = {},
): TestTerminal {
  const written = { out: "", err: "" };
  const listeners = new Set<(signal: "SIGINT" | "SIGTERM") => void>();
  const keys = new Set<(key: string) => void>();
  const sink = (name: "out" | "err") => ({
    tty: parts.tty === true,
    columns: parts.columns ?? 80,
    rows: parts.rows ?? 24,
    write: (text: string) => {
      written[name] += text;
    },
  });
  return {
    env: parts.env ?? {},
    cwd: parts.cwd ?? "/",
    stdout: sink("out"),
    stderr: sink("err"),
    interactive: parts.typed !== undefined,
    ask: async (question) => {
      written.err += question;
      return parts.typed ?? "";
    },
    askHidden: async (question) => {
      written.err += question;
      return parts.typed ?? "";
    },
    stdin: async () => parts.stdin ?? "",
    async *stdinBytes() {
      yield Buffer.from(parts.stdin ?? "");
    },
    onInterrupt(fn) {
      listeners.add(fn);
      return () => listeners.delete(fn);
    },
    onKey(fn) {
      keys.add(fn);
      return () => keys.delete(fn);
    },
    onResize: () => () => undefined,
    onExit: () => () => undefined,
    out: () => written.out,
    err: () => written.err,
    interrupt: () => {
      for (const fn of listeners) fn("SIGINT");
    },
    press: (key) => {
      for (const fn of keys) fn(key);
    },
  };
}

/** A request as the stub saw it, its body complete. */
export interface StubRequest {
  method: string;
  url: string;
  token: string | undefined;
  /** Content type and precondition. */
  headers: { type: string | undefined; if_match: string | undefined };
  body: string;
}

/** A real HTTP server on a port of its own; `answer` gives status and JSON, or writes the response itself. */
export async function stubServer(
  answer: (request: StubRequest, response: ServerResponse) => [status: number, body: unknown] | undefined,
): Promise<{ url: string; seen: StubRequest[]; close(): Promise<void> }> {
  const seen: StubRequest[] = [];
  const server = createServer((incoming: IncomingMessage, response) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      const { method = "", url = "", headers } = incoming;
      const named = { type: headers["content-type"], if_match: headers["if-match"] };
      const body = Buffer.concat(chunks).toString();
      const request = { method, url, token: headers.authorization, headers: named, body };
      seen.push(request);
      const reply = answer(request, response);
      if (reply === undefined) return;
      const type = reply[0] >= 400 ? "application/problem+json" : "application/json";
      response.writeHead(reply[0], { "content-type": type }).end(JSON.stringify(reply[1]));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** A directory of the test's own; call `remove` at its end. */
export async function tempDirectory(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), "gantry-cli-"));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** Resolves once `holds` is true. @throws when it is not within 10 s. */
export async function until(holds: () => boolean): Promise<void> {
  for (const end = performance.now() + 10_000; !holds(); ) {
    if (performance.now() > end) throw new Error("the condition did not come true in time");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A run as the server shows it. */
export function runView(parts: Partial<RunView> = {}): RunView {
  return {
    id: "run_1",
    state: "ended",
    contract: { name: "scratch", version: 1 },
    snapshot: "snp_1",
    lane: "interactive",
    isolation: "process",
    code_hash: "00",
    limits: {
      cpu_ms: 1_000,
      wall_ms: 30_000,
      memory_mb: 128,
      input_bytes_max: 1,
      output_bytes_max: 1,
      code_bytes_max: 1,
      modules_max: 1,
      log_bytes_max: 1,
    },
    attempt: 1,
    created_at: 1_700_000_000_000,
    chain: [],
    termination: "completed",
    result: null,
    usage: { cpu_ms: 3.14, rss_peak_mb: 13.96, log_bytes: 0, log_dropped: 0, output_bytes: 4 },
    timing: { queued_ms: 0, startup_ms: 4.2, completion_ms: 8 },
    jail: "unshare",
    evidence: { entries: ["ent_1", "ent_2"] },
    ...parts,
  };
}

/** Figures as the server gives them: 1,234 runs in 15 minutes, some of which were denied. */
export function figuresView(parts: Partial<Figures> = {}): Figures {
  const spread = { p50_ms: 4.2, p95_ms: 12, p99_ms: 1_250 };
  const none = { p50_ms: null, p95_ms: null, p99_ms: null };
  const lane = (ended: number, of: Partial<LaneFigures>): LaneFigures => ({
    ended,
    ended_per_s: ended / 1_000,
    by_termination: { completed: ended },
    executed: ended,
    startup: spread,
    completion: spread,
    queued: spread,
    ...of,
  });
  const by_termination = { cpu_exceeded: 4, completed: 1_200, denied: 30 };
  return {
    at: 1_700_000_000_000,
    window_ms: 900_000,
    runs: {
      sampled: false,
      since_at: 1_700_000_000_000 - 900_000,
      all: lane(1_234, { by_termination }),
      interactive: lane(1_234, { by_termination }),
      batch: lane(0, { by_termination: {}, startup: none, completion: none, queued: none }),
    },
    running: 2,
    waiting: {
      interactive: { count: 0, oldest_ms: 0 },
      batch: { count: 14, oldest_ms: 12_000 },
      approval: { count: 1, oldest_ms: 60_000 },
    },
    approvals: { count: 3, oldest_ms: 90_000, by_subject: { contract: 1, run: 1, setting: 1 } },
    denials: {
      sampled: false,
      items: [
        { what: "run", code: "CONTRACT_LIMIT", count: 30 },
        { what: "call", code: "EGRESS_HOST", count: 7 },
        { what: "call", code: null, count: 2 },
      ],
    },
    machine: {
      slots: { used: 2, of: 8 },
      runners: { jail: "bwrap", booting: 1, warm: 4, bound: 3, busy: 2, waiting: 0, boot_failures: 0 },
      ledger: { entries: 12_034, sealed: 12_030, lag_ms: 40 },
      witnesses: [{ sink: "file:/mnt/worm/checkpoints.txt", size: 12_000, lag_ms: 95_000, error: "EACCES" }],
    },
    ...parts,
  };
}

/** An approval as the server shows it, whose hashes are right. */
export async function approvalView(
  parts: Partial<Omit<Approval, "statement" | "preview">> & {
    statement?: Partial<Statement>;
    preview?: Partial<Preview>;
  } = {},
): Promise<Approval> {
  const preview: Preview = {
    summary: "agent local asks to run code under ship",
    why: "ticket 7",
    delta: [
      { at: "/limits/wall_ms", change: "narrowed", loosens: false, text: "30000 becomes 1000" },
      { at: "/egress/0", change: "added", loosens: true, text: "POST to api.example.com" },
    ],
    diff: "--- approved\n+++ asked\n@@ -1 +1 @@\n-a\n+b",
    provenance: { submitted_by: "act_2" },
    verdict: { codes: ["GATE_REQUIRED"], rule: "gates/0 of ship@3: deploy" },
    rehearsal: null,
    ...parts.preview,
  };
  const hash = "0".repeat(64);
  const statement: Statement = {
    v: 1,
    approval: parts.id ?? "apr_1",
    tenant: "ten_1",
    gate: "deploy",
    action: { name: "run.submit", resource: "code:abc", params_hash: hash },
    action_hash: hash,
    code: { code_hash: hash },
    snapshot: "snp_1",
    contract: { name: "ship", version: 3, hash },
    target: "production",
    blast_radius: {
      hosts: ["api.example.com"],
      methods: ["POST"],
      apps: [],
      percent_max: null,
      effects_max: 5,
      reversible: false,
      rollback: "nobody knows",
    },
    preview_hash: await canonicalHash(preview),
    quorum: 2,
    independence: "principal",
    requester: "act_2",
    chain: [
      { actor: "act_1", kind: "human", via: "token", ref: "tok_1" },
      { actor: "act_2", kind: "agent", via: "token", ref: "tok_2" },
    ],
    authors: [],
    not_after: 1_700_086_400_000,
    execute_before: 3_600_000,
    nonce: "00",
    ...parts.statement,
  };
  return {
    id: "apr_1",
    status: "pending",
    subject: "run",
    subject_id: "run_1",
    run: "run_1",
    votes: [],
    excluded: ["act_2"],
    code: null,
    created_at: 1_700_000_000_000,
    decided_at: null,
    execute_before_at: null,
    executed_at: null,
    superseded_by: null,
    break_glass: null,
    similar: [],
    ...parts,
    statement,
    statement_hash: parts.statement_hash ?? (await canonicalHash(statement)),
    preview,
  };
}
