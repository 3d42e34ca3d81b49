import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RunView } from "@gantry/sdk";
import type { Terminal } from "./terminal.ts";

/** A terminal whose output a test reads and whose Ctrl-C it presses. */
export interface TestTerminal extends Terminal {
  out(): string;
  err(): string;
  interrupt(): void;
}

/** @param parts  `tty` makes both outputs terminals of 80 columns. */
export function testTerminal(
  parts: { cwd?: string; env?: Terminal["env"]; tty?: boolean; stdin?: string } = {},
): TestTerminal {
  const written = { out: "", err: "" };
  const listeners = new Set<(signal: "SIGINT" | "SIGTERM") => void>();
  const sink = (name: "out" | "err") => ({
    tty: parts.tty === true,
    columns: 80,
    write: (text: string) => {
      written[name] += text;
    },
  });
  return {
    env: parts.env ?? {},
    cwd: parts.cwd ?? "/",
    stdout: sink("out"),
    stderr: sink("err"),
    interactive: false,
    stdin: async () => parts.stdin ?? "",
    async *stdinBytes() {
      yield Buffer.from(parts.stdin ?? "");
    },
    onInterrupt(fn) {
      listeners.add(fn);
      return () => listeners.delete(fn);
    },
    out: () => written.out,
    err: () => written.err,
    interrupt: () => {
      for (const fn of listeners) fn("SIGINT");
    },
  };
}

/** A request as the stub saw it, its body complete. */
export interface StubRequest {
  method: string;
  url: string;
  token: string | undefined;
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
      const request = { method, url, token: headers.authorization, body: Buffer.concat(chunks).toString() };
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
    termination: "completed",
    result: null,
    usage: { cpu_ms: 3.14, rss_peak_mb: 13.96, log_bytes: 0, log_dropped: 0, output_bytes: 4 },
    timing: { queued_ms: 0, startup_ms: 4.2, completion_ms: 8 },
    jail: "unshare",
    evidence: { entries: ["ent_1", "ent_2"] },
    ...parts,
  };
}
