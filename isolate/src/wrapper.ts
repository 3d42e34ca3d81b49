/**
 * The main module of a guest's isolate. It finds out which of the four forms the guest's default export has, calls
 * it, and turns what comes back into text. It shares the isolate with the guest, so nothing that it says is believed
 * beyond the guest's own result: the host sets the kind of the outcome, Node enforces the limits.
 */

import { config, natives, printed } from "gantry:prelude";
import type { GuestFault } from "./protocol.ts";

export type Answer = (
  | { kind: "value"; json: string }
  | { kind: "threw" | "not_json"; fault: GuestFault }
  | { kind: "output_exceeded" }
  /** It has no `run`; nothing was called. */
  | { kind: "fetch" | "none" }
) & {
  /** When all modules had been evaluated and nothing had been called, milliseconds UTC. */
  started: number;
  /** Has the guest's `console` printed anything? */
  printed: boolean;
};

type Method = (argument: unknown, env: unknown, ctx: unknown) => unknown;
type Methods = Partial<Record<"run" | "fetch", (argument: unknown, ...more: unknown[]) => unknown>>;
type GuestClass = (new (ctx: unknown, env: unknown) => Methods) & { prototype: Methods };

const { stringify, defineProperties, getPrototypeOf, now, allSettled } = natives;
const { deadline, output_bytes_max, run, session } = config;
const plain = getPrototypeOf(getPrototypeOf);

/** No class that extends another: then it can be none of `cloudflare:workers`. An arrow has no prototype. */
function isPlain(value: unknown): value is Method {
  return typeof value === "function" && (value.prototype === undefined || getPrototypeOf(value) === plain);
}

/** An isolate that asks for `cloudflare:workers` pays 0.2 ms for it: only for what may be a class that extends another. */
async function isEntrypointClass(): Promise<boolean> {
  if (typeof guest !== "function" || isPlain(guest)) return false;
  const { WorkerEntrypoint } = await import("cloudflare:workers");
  return guest.prototype instanceof WorkerEntrypoint;
}

/** Of a guest that is no plain function: which method answers, and how it is called. */
async function formOf(): Promise<{ kind: "run" | "fetch"; method: Method } | { kind: "none" }> {
  const is_class = await isEntrypointClass();
  if (typeof guest === "function" && !is_class) return { kind: "run", method: guest as Method };
  const methods = is_class ? (guest as GuestClass).prototype : (guest as Methods | null);
  if (typeof methods !== "object" || methods === null) return { kind: "none" };
  const kind = typeof methods.run === "function" ? "run" : "fetch";
  if (typeof methods[kind] !== "function") return { kind: "none" };
  const method: Method = is_class
    ? (argument, env, ctx) => new (guest as GuestClass)(ctx, env)[kind]?.(argument)
    : (argument, env, ctx) => (guest as Methods)[kind]?.(argument, env, ctx);
  return { kind, method };
}

/** A fault is shown, not kept: a message of megabytes must not count as the run's output, nor fill our memory. */
const FAULT_TEXT_MAX = 4_096;

function cut(text: string): string {
  return text.length > FAULT_TEXT_MAX ? `${text.slice(0, FAULT_TEXT_MAX)}…` : text;
}

function faultOf(thrown: unknown): GuestFault {
  try {
    if (typeof thrown === "object" && thrown !== null && "message" in thrown) {
      const { name, message, stack } = thrown as { name?: unknown; message: unknown; stack?: unknown };
      return {
        name: cut(String(name ?? "Error")),
        message: cut(String(message)),
        ...(typeof stack === "string" ? { stack: cut(stack) } : {}),
      };
    }
    return { name: "Thrown", message: cut(String(thrown)) };
  } catch {
    // A getter or a toString of the guest's that throws in turn.
    return { name: "Thrown", message: "a value that cannot be shown" };
  }
}

/**
 * Makes the engine's context the guest's.
 * @returns what the guest hands to `waitUntil`: the run is not over before all of it has settled.
 */
function lend(ctx: object): Promise<unknown>[] {
  const pending: Promise<unknown>[] = [];
  const waitUntil = (work: unknown): void => {
    pending.push(Promise.resolve(work));
  };
  defineProperties(ctx, {
    run: { value: run, enumerable: true },
    ...(session === undefined ? {} : { session: { value: session, enumerable: true } }),
    deadline: { value: deadline, enumerable: true },
    waitUntil: { value: waitUntil, enumerable: true },
  });
  return pending;
}

async function settle(pending: Promise<unknown>[]): Promise<void> {
  while (pending.length > 0) {
    for (const outcome of await allSettled(pending.splice(0))) {
      if (outcome.status === "rejected") console.error("waitUntil:", outcome.reason);
    }
  }
}

/** What the guest's `fetch` threw last. */
let fetch_fault: GuestFault | undefined;

/**
 * An object, not a class: a class would have to extend one of `cloudflare:workers`. The engine gives each method `env` and
 * `ctx` behind the caller's one argument, if it declares all three.
 */
export const Run = {
  /** Answers if the guest's modules could be evaluated; a call of a guest whose top level failed rejects before this. */
  loaded(_argument: unknown, _env: unknown, _ctx: unknown): true {
    return true;
  },

  /** The engine compiles each function that is called, for every run: the way of a plain function calls two. */
  async run(input: unknown, env: unknown, ctx: object): Promise<Answer> {
    const started = now();
    const form = isPlain(guest) ? { kind: "run" as const, method: guest } : await formOf();
    if (form.kind !== "run") return { kind: form.kind, started, printed };
    let result: unknown;
    try {
      const pending = lend(ctx);
      result = await form.method(input, env, ctx);
      if (pending.length > 0) await settle(pending);
    } catch (thrown) {
      return { kind: "threw", fault: faultOf(thrown), started, printed };
    }
    let json: string;
    try {
      json = stringify(result) ?? "null";
    } catch (thrown) {
      return { kind: "not_json", fault: faultOf(thrown), started, printed };
    }
    if (json.length > output_bytes_max) return { kind: "output_exceeded", started, printed };
    return { kind: "value", json, started, printed };
  },

  fault(_argument: unknown, _env: unknown, _ctx: unknown): GuestFault | undefined {
    return fetch_fault;
  },

  async fetch(request: Request, env: unknown, ctx: object): Promise<Response> {
    let response: unknown;
    const pending = lend(ctx);
    try {
      const form = await formOf();
      if (form.kind === "fetch") response = await form.method(request, env, ctx);
    } catch (thrown) {
      fetch_fault = faultOf(thrown);
      throw thrown;
    }
    if (!(response instanceof Response)) throw new TypeError("fetch() must return a Response");
    // The response ends only when the guest's background work has, and with it the run. A status such as 204 allows no
    // body at all, not even an empty one.
    if (response.body === null) {
      await settle(pending);
      return new Response(null, response);
    }
    const until_settled = new TransformStream<Uint8Array, Uint8Array>({ flush: () => settle(pending) });
    return new Response(response.body.pipeThrough(until_settled), response);
  },
};
