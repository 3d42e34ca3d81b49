/**
 * The main module of a guest's isolate. It finds out which of the four forms the guest's default export has, calls
 * it, and turns what comes back into text. It shares the isolate with the guest, so nothing that it says is believed
 * beyond the guest's own result: the host sets the kind of the outcome, Node enforces the limits.
 */

import { WorkerEntrypoint } from "cloudflare:workers";
import { config, natives } from "gantry:prelude";
import type { GuestFault } from "./protocol.ts";

export type Answer =
  | { kind: "value"; json: string }
  | { kind: "threw" | "not_json"; fault: GuestFault }
  | { kind: "output_exceeded" }
  /** It has no `run`; nothing was called. */
  | { kind: "fetch" | "none" };

type Handler = (input: unknown, env: unknown, ctx: unknown) => unknown;
type Methods = Partial<Record<"run" | "fetch", (...args: unknown[]) => unknown>>;
type GuestClass = new (ctx: unknown, env: unknown) => Methods;

const { stringify, defineProperties, allSettled } = natives;
const { deadline, output_bytes_max, run, session } = config;

function isEntrypointClass(value: unknown): value is GuestClass {
  return typeof value === "function" && value.prototype instanceof WorkerEntrypoint;
}

/** The guest as an object with methods, whatever its form; undefined if it has none of the four. */
function methodsOf(ctx: unknown, env: unknown): Methods | undefined {
  if (isEntrypointClass(guest)) return new guest(ctx, env);
  if (typeof guest === "function") return { run: (input) => (guest as Handler)(input, env, ctx) };
  if (typeof guest !== "object" || guest === null) return undefined;
  const object = guest as Methods;
  return {
    ...(typeof object.run === "function" ? { run: (input) => object.run?.(input, env, ctx) } : {}),
    ...(typeof object.fetch === "function" ? { fetch: (request) => object.fetch?.(request, env, ctx) } : {}),
  };
}

/** Which method answers. */
function formOf(): "run" | "fetch" | "none" {
  const methods = isEntrypointClass(guest) ? (guest.prototype as Methods) : methodsOf(undefined, undefined);
  if (typeof methods?.run === "function") return "run";
  return typeof methods?.fetch === "function" ? "fetch" : "none";
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

/** What the guest's `fetch` threw last. */
let fetch_fault: GuestFault | undefined;

export class Run extends WorkerEntrypoint {
  /** What the guest hands to `ctx.waitUntil`: the run is not over before all of it has settled. */
  #pending: Promise<unknown>[] = [];

  /** Answers if the guest's modules could be evaluated; a call of a guest whose top level failed rejects before this. */
  loaded(): true {
    return true;
  }

  /** @param started  told once the guest's modules have been evaluated, before it is called; a guest that calls itself has none. */
  async run(input: unknown, started?: () => Promise<void>): Promise<Answer> {
    const form = formOf();
    if (form === "none") return { kind: form };
    await started?.();
    if (form === "fetch") return { kind: form };
    let result: unknown;
    try {
      result = await this.#methods().run?.(input);
      await this.#settled();
    } catch (thrown) {
      return { kind: "threw", fault: faultOf(thrown) };
    }
    let json: string;
    try {
      json = stringify(result) ?? "null";
    } catch (thrown) {
      return { kind: "not_json", fault: faultOf(thrown) };
    }
    return json.length > output_bytes_max ? { kind: "output_exceeded" } : { kind: "value", json };
  }

  fault(): GuestFault | undefined {
    return fetch_fault;
  }

  override async fetch(request: Request): Promise<Response> {
    let response: unknown;
    try {
      response = await this.#methods().fetch?.(request);
    } catch (thrown) {
      fetch_fault = faultOf(thrown);
      throw thrown;
    }
    if (!(response instanceof Response)) throw new TypeError("fetch() must return a Response");
    // The response ends only when the guest's background work has, and with it the run. A status such as 204 allows no
    // body at all, not even an empty one.
    if (response.body === null) {
      await this.#settled();
      return new Response(null, response);
    }
    const until_settled = new TransformStream<Uint8Array, Uint8Array>({ flush: () => this.#settled() });
    return new Response(response.body.pipeThrough(until_settled), response);
  }

  #methods(): Methods {
    const waitUntil = (work: unknown): void => {
      this.#pending.push(Promise.resolve(work));
    };
    defineProperties(this.ctx, {
      run: { value: run, enumerable: true },
      ...(session === undefined ? {} : { session: { value: session, enumerable: true } }),
      deadline: { value: deadline, enumerable: true },
      waitUntil: { value: waitUntil, enumerable: true },
    });
    return methodsOf(this.ctx, this.env) ?? {};
  }

  async #settled(): Promise<void> {
    while (this.#pending.length > 0) {
      for (const outcome of await allSettled(this.#pending.splice(0))) {
        if (outcome.status === "rejected") console.error("waitUntil:", outcome.reason);
      }
    }
  }
}
