/**
 * The only worker in a runner's configuration. It loads one guest into an isolate of its own and calls it.
 * The guest shares this process, never this isolate.
 */
import { WorkerEntrypoint } from "cloudflare:workers";
import prelude from "prelude.txt";
import wrapper from "wrapper.txt";
import {
  type GuestFault,
  type HostLine,
  type HostModule,
  type HostOutcome,
  HTTP_HEAD_MAX,
  HTTP_HEADER,
  NONCE_HEADER,
  OUTCOME_HEADER,
  type RunCall,
  STAMP_HEADER,
  tunnelAuthority,
} from "./protocol.ts";
import type { Answer } from "./wrapper.ts";

/** Fixed by us and not by guests: it decides the surface that a guest sees. From 2026-08-04 Node compat is on by default. */
const GUEST_COMPAT_DATE = "2026-07-01";

interface HostEnv {
  /** The runner's out-socket. */
  OUT: Fetcher;
  LOADER: { load(code: object): { getEntrypoint(name: string): GuestEntrypoint } };
}

interface GuestEntrypoint {
  fault(argument: null): Promise<GuestFault | undefined>;
  loaded(argument: null): Promise<true>;
  run(input: unknown): Promise<Answer>;
  fetch(request: Request): Promise<Response>;
}

interface WallProps {
  host_nonce: string;
}

interface EgressProps {
  stamp: string;
}

/** A guest may call any name; what is told of it must fit a line. DNS allows 253 characters, a port adds 6. */
const HOST_TOLD_MAX = 260;

/** The run that the process works for, and whether nothing but its beginning has been told of it. */
let live = { host_nonce: "", is_silent: true };

/** Lines for Node, told apart from guests' by a nonce that no guest sees. */
function tell(host_nonce: string, line: HostLine): void {
  if (host_nonce === live.host_nonce) live.is_silent = false;
  console.log(`${host_nonce} host ${JSON.stringify(line)}`);
}

/**
 * Where the calls of a guest go whose contract grants no network: nowhere, but on the record. It has no binding and
 * no socket, so there is nothing behind it that a request could reach.
 */
export class Wall extends WorkerEntrypoint<HostEnv, WallProps> {
  override async fetch(request: Request): Promise<Response> {
    const method = request.headers.get("upgrade")?.toLowerCase() === "websocket" ? "WEBSOCKET" : request.method;
    tell(this.ctx.props.host_nonce, {
      event: "blocked",
      host: new URL(request.url).host.slice(0, HOST_TOLD_MAX),
      method,
    });
    throw new Error("This run's contract grants no network: the call went nowhere and was recorded.");
  }

  /** A guest's `connect()` looks opened to it, so the handler closes at once (measured on workerd 1.20261023.1). */
  override async connect(socket: Socket): Promise<void> {
    const { localAddress } = await socket.opened.catch(() => ({ localAddress: undefined }));
    tell(this.ctx.props.host_nonce, {
      event: "blocked",
      host: (localAddress ?? "unknown").slice(0, HOST_TOLD_MAX),
      method: "CONNECT",
    });
    await socket.close();
  }
}

/**
 * Where the calls of a guest go whose contract grants network, and whose process is shared: out, stamped with the run that
 * they belong to. The stamp is set last, over whatever the guest sent. A redirect goes back to the guest, whose next call is
 * stamped again; so does the WebSocket of an upgrade, and a body that breaks off breaks off for the guest.
 */
export class Egress extends WorkerEntrypoint<HostEnv, EgressProps> {
  override fetch(request: Request): Promise<Response> {
    const headers = new Headers(request.headers);
    headers.set(STAMP_HEADER, this.ctx.props.stamp);
    return this.env.OUT.fetch(new Request(request, { headers, redirect: "manual" }));
  }

  /**
   * Carries bytes both ways until both sides have ended, or one has failed. The guest's socket looks opened to it before
   * we are asked (measured on workerd 1.20261023.1): a refusal is the end of a connection on which nothing was said.
   */
  override async connect(socket: Socket): Promise<void> {
    const { localAddress = "" } = await socket.opened;
    const out = this.env.OUT.connect(tunnelAuthority(this.ctx.props.stamp, localAddress), { allowHalfOpen: true });
    // The reason for a refusal stands in the run's record; here, only that there is one.
    out.closed.catch(() => {});
    const carried = [socket.readable.pipeTo(out.writable), out.readable.pipeTo(socket.writable)];
    await Promise.all(carried).catch(() => {});
    await Promise.allSettled([socket.close(), out.close()]);
  }
}

function bytes(base64: string): ArrayBuffer {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)).buffer;
}

function loadable(module: HostModule): object {
  if ("data" in module) return { data: bytes(module.data) };
  if ("wasm" in module) return { wasm: bytes(module.wasm) };
  if ("json" in module) return { json: JSON.parse(module.json) };
  return module;
}

interface HostExports {
  Wall(options: { props: WallProps }): Fetcher;
  Egress(options: { props: EgressProps }): Fetcher;
}

interface HostCall extends RunCall {
  host_nonce: string;
  /** When the host began with it, milliseconds UTC. */
  begun: number;
}

/**
 * The one place that calls `load()` and writes `globalOutbound`: omitted, it would inherit ours.
 * `get()` is not used: its isolates are never evicted and keep the first caller's env.
 */
function workerCode(call: HostCall, env: HostEnv, ctx: ExecutionContext): GuestEntrypoint {
  const { run, session, deadline, output_bytes_max, log_nonce } = call;
  const config = JSON.stringify({ run, session, deadline, output_bytes_max, log_nonce });
  return env.LOADER.load({
    compatibilityDate: GUEST_COMPAT_DATE,
    compatibilityFlags: call.node_compat ? ["nodejs_compat"] : [],
    mainModule: "gantry:wrapper",
    modules: {
      ...Object.fromEntries(Object.entries(call.modules).map(([name, module]) => [name, loadable(module)])),
      // Two modules and no more: each, and each kilobyte of them, is compiled again for every run. The wrapper asks for
      // the prelude before the guest: what that takes from the globals must be taken before the guest can change them.
      "gantry:prelude": { js: `export const config = ${config};\n${prelude}` },
      "gantry:wrapper": { js: `${wrapper}\nimport guest from ${JSON.stringify(call.entry)};` },
    },
    env: call.vars,
    globalOutbound: wayOut(call, env, ctx),
  }).getEntrypoint("Run");
}

/** A guest whose process is its own has the socket to itself: nothing of ours need stand between. */
function wayOut({ door, host_nonce }: HostCall, env: HostEnv, ctx: ExecutionContext): Fetcher {
  const exports = ctx.exports as unknown as HostExports;
  if (door === undefined) return exports.Wall({ props: { host_nonce } });
  return door.stamp === undefined ? env.OUT : exports.Egress({ props: { stamp: door.stamp } });
}

/** workerd cancels a request whose promise nothing can settle any more (measured: within 10 ms). */
const NEVER_SETTLES = "detected that your Worker's code had hung";

/** Node reads a fault of at most 64 KiB: what an error carries from the guest is cut, whatever the wrapper did. */
const FAULT_TEXT_MAX = 8_192;

function faultOf(error: unknown): GuestFault {
  const { name, message, stack } = error as Error;
  const cut = (text: unknown): string => String(text).slice(0, FAULT_TEXT_MAX);
  return { name: cut(name), message: cut(message), ...(stack === undefined ? {} : { stack: cut(stack) }) };
}

/**
 * The answer to a call, and the end of its log. A run of which nothing was printed needs no line that says so: its answer
 * does. Where Node's own `console` can be imported, the wrapper cannot know.
 * @param said  of the guest's call, if it has come to its own end.
 */
function answer(call: HostCall, outcome: HostOutcome, body: BodyInit | null, said?: Answer): Response {
  const is_silent = said?.printed === false && !call.node_compat && live.is_silent;
  if (!is_silent) tell(call.host_nonce, { event: "ended" });
  return new Response(body, { headers: { [OUTCOME_HEADER]: wordsOf(call, outcome, said, is_silent) } });
}

function wordsOf({ begun }: HostCall, outcome: HostOutcome, said?: Answer, is_silent = false): string {
  return `${outcome} ${begun} ${said === undefined ? "-" : Number(said.started)}${is_silent ? " silent" : ""}`;
}

function failed(call: HostCall, outcome: HostOutcome, fault: GuestFault, said?: Answer): Response {
  return answer(call, outcome, JSON.stringify(fault), said);
}

/**
 * One call does it all, in the usual case: to ask first whether the guest loads, and in which form, costs a twentieth of
 * a small run. What a failure was is asked afterwards.
 */
async function run(call: HostCall, env: HostEnv, ctx: ExecutionContext): Promise<Response> {
  let guest: GuestEntrypoint | undefined;
  try {
    guest = workerCode(call, env, ctx);
    return await value(guest, call);
  } catch (error) {
    if (guest === undefined || !(await loads(guest))) return failed(call, "load_failed", faultOf(error));
    const fault = await thrownBy(guest);
    if (fault !== undefined) return failed(call, "threw", faultOf(fault));
    const engine = faultOf(error);
    return failed(call, engine.message.includes(NEVER_SETTLES) ? "never_settles" : "stopped", engine);
  }
}

/** A guest that did not load says so to every call, and is not evaluated again. */
function loads(guest: GuestEntrypoint): Promise<boolean> {
  return guest.loaded(null).catch(() => false);
}

/** What the guest's `fetch` threw last, with its own stack: an error that crosses isolates has lost it. */
async function thrownBy(guest: GuestEntrypoint): Promise<GuestFault | undefined> {
  return guest.fault(null).catch(() => undefined);
}

async function value(guest: GuestEntrypoint, call: HostCall): Promise<Response> {
  const said = await guest.run(JSON.parse(call.input));
  if (said.kind === "value") return answer(call, "value", String(said.json), said);
  if (said.kind === "fetch") return respond(guest, call, said);
  if (said.kind === "none") {
    return failed(call, "no_entry", { name: "TypeError", message: "no default export that can be run" }, said);
  }
  if (said.kind === "threw" || said.kind === "not_json") return failed(call, said.kind, faultOf(said.fault), said);
  return answer(call, "output_exceeded", null, said);
}

/** The body of a guest's `Response` is still to come, and what is printed meanwhile: its end ends the log. */
async function respond(guest: GuestEntrypoint, call: HostCall, said: Answer): Promise<Response> {
  const request = new Request("http://run.gantry/", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: call.input,
  });
  const response = await guest.fetch(request);
  const head = JSON.stringify({ status: response.status, headers: [...response.headers] });
  if (head.length > HTTP_HEAD_MAX) return answer(call, "output_exceeded", null);
  const flush = (): void => tell(call.host_nonce, { event: "ended" });
  const body = response.body?.pipeThrough(new TransformStream({ flush }));
  if (body === undefined) flush();
  const headers = { [OUTCOME_HEADER]: wordsOf(call, "http", said), [HTTP_HEADER]: head };
  return new Response(body ?? null, { headers });
}

export default {
  async fetch(request: Request, env: HostEnv, ctx: ExecutionContext): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === "/ping") return new Response("pong");
    if (pathname === "/run") {
      const host_nonce = request.headers.get(NONCE_HEADER) ?? "";
      const begun = Date.now();
      tell(host_nonce, { event: "begun", at: begun });
      live = { host_nonce, is_silent: true };
      return run({ ...(await request.json<RunCall>()), host_nonce, begun }, env, ctx);
    }
    return new Response(null, { status: 404 });
  },
};
