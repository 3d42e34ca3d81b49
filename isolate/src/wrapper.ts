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

type Handler = (input: unknown, env: unknown, ctx: unknown) => unknown;
type Method = (argument: unknown) => unknown;
type Methods = Partial<Record<"run" | "fetch", (...args: unknown[]) => unknown>>;
type GuestClass = (new (ctx: unknown, env: unknown) => Methods) & { prototype: Methods };

const { stringify, defineProperties, getPrototypeOf, now, allSettled } = natives;
const { deadline, output_bytes_max, run, session } = config;
const plain = getPrototypeOf(getPrototypeOf);

/** An isolate that asks for `cloudflare:workers` pays 0.2 ms for it: only for what may be a class that extends another. */
async function isEntrypointClass(): Promise<boolean> {
  if (typeof guest !== "function" || guest.prototype === undefined || getPrototypeOf(guest) === plain) return false;
  const { WorkerEntrypoint } = await import("cloudflare:workers");
  return guest.prototype instanceof WorkerEntrypoint;
}

/** Which method answers. */
function formOf(is_class: boolean): "run" | "fetch" | "none" {
  if (typeof guest === "function" && !is_class) return "run";
  const methods = is_class ? (guest as GuestClass).prototype : (guest as Methods | null);
  if (typeof methods !== "object" || methods === null) return "none";
  if (typeof methods.run === "function") return "run";
  return typeof methods.fetch === "function" ? "fetch" : "none";
}

/** The method of a guest whose form has it. */
function methodOf(name: "run" | "fetch", is_class: boolean, env: unknown, ctx: unknown): Method {
  if (is_class) {
    const object = new (guest as GuestClass)(ctx, env);
    return (argument) => object[name]?.(argument);
  }
  if (typeof guest === "function") return (argument) => (guest as Handler)(argument, env, ctx);
  return (argument) => (guest as Methods)[name]?.(argument, env, ctx);
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
 * @returns waits until everything has settled that the guest hands to `waitUntil`: the run is not over before.
 */
function lend(ctx: object): () => Promise<void> {
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
  return async () => {
    while (pending.length > 0) {
      for (const outcome of await allSettled(pending.splice(0))) {
        if (outcome.status === "rejected") console.error("waitUntil:", outcome.reason);
      }
    }
  };
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

  async run(input: unknown, env: unknown, ctx: object): Promise<Answer> {
    const started = now();
    const is_class = await isEntrypointClass();
    const form = formOf(is_class);
    if (form !== "run") return { kind: form, started, printed };
    let result: unknown;
    try {
      const settled = lend(ctx);
      result = await methodOf("run", is_class, env, ctx)(input);
      await settled();
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
    const settled = lend(ctx);
    try {
      response = await methodOf("fetch", await isEntrypointClass(), env, ctx)(request);
    } catch (thrown) {
      fetch_fault = faultOf(thrown);
      throw thrown;
    }
    if (!(response instanceof Response)) throw new TypeError("fetch() must return a Response");
    // The response ends only when the guest's background work has, and with it the run. A status such as 204 allows no
    // body at all, not even an empty one.
    if (response.body === null) {
      await settled();
      return new Response(null, response);
    }
    const until_settled = new TransformStream<Uint8Array, Uint8Array>({ flush: settled });
    return new Response(response.body.pipeThrough(until_settled), response);
  },
};
