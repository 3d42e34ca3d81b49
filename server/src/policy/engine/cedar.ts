import { createRequire } from "node:module";
import { setFlagsFromString } from "node:v8";
import type * as cedar_wasm from "@cedar-policy/cedar-wasm/nodejs";

type Wasm = typeof cedar_wasm;
type Call = Omit<cedar_wasm.StatefulAuthorizationCall, "validateRequest" | "preparsedSchemaName">;
/** Of a policy in Cedar's JSON form, what is looked at here. */
export type PolicyJson = cedar_wasm.PolicyJson;

/** Policies that decided, by id and in no order; or that there is no answer, which is never an allowance. */
export type CedarAnswer = { sure: true; allowed: boolean; matched: string[] } | { sure: false };
export type CedarParsed = { json: PolicyJson } | { problem: string };

const DOUBT: CedarAnswer = Object.freeze({ sure: false });
const SCHEMA = "gantry";

/**
 * One instance of Cedar, and the only place that speaks to it. Fails closed: an answer of the type `failure`, a policy
 * that could not be evaluated (Cedar skips it, a forbid too, and answers allow) and whatever is thrown are all "not sure".
 *
 * An instance that has thrown is never used again: after a stack overflow inside the wasm its memory is not to be
 * trusted, and it goes on failing (measured with 4.13.0: every later call throws "memory access out of bounds"). A new
 * one takes 29 ms. What it had parsed is gone; `generation` says so.
 */
export class Cedar {
  readonly #schema: string;
  #wasm: Wasm | undefined;
  #generation = 0;

  /** @throws Error when the package or the schema cannot be loaded: a server that cannot decide must not start. */
  constructor(schema: string) {
    this.#schema = schema;
    this.#wasm = load(schema);
  }

  /** Counts the instances that were given up: what was parsed in another generation is forgotten. */
  get generation(): number {
    return this.#generation;
  }

  /** Parses the policies once, under an id; what stood there before is replaced, or on failure stays. */
  parse(id: string, policies: Readonly<Record<string, string>>): boolean {
    return this.#ask(
      (wasm) => wasm.preparsePolicySet(id, { staticPolicies: { ...policies } }).type === "success",
      false,
    );
  }

  /** Decides against the policies of an id, the request being held to the schema. */
  authorize(call: Call): CedarAnswer {
    return this.#ask((wasm) => {
      const answer = wasm.statefulIsAuthorized({ ...call, preparsedSchemaName: SCHEMA, validateRequest: true });
      if (answer.type !== "success") return DOUBT;
      const { decision, diagnostics } = answer.response;
      if (diagnostics.errors.length > 0) return DOUBT;
      return { sure: true, allowed: decision === "allow", matched: diagnostics.reason };
    }, DOUBT);
  }

  /** Reads one statement. Two statements, none, and templates are refused by Cedar itself. */
  read(text: string): CedarParsed {
    return this.#ask<CedarParsed>(
      (wasm) => {
        const answer = wasm.policyToJson(text);
        return answer.type === "success" ? { json: answer.json } : { problem: firstOf(answer.errors) };
      },
      { problem: "it could not be read" },
    );
  }

  /**
   * What strict validation against the schema finds first in each policy, by the policy's id. Warnings count: a rule that
   * can never apply is a mistake. One call for all of them, because it reads the schema anew.
   * @returns undefined when there was no answer.
   */
  validate(policies: Readonly<Record<string, string>>): ReadonlyMap<string, string> | undefined {
    return this.#ask<ReadonlyMap<string, string> | undefined>((wasm) => {
      const answer = wasm.validate({
        validationSettings: { mode: "strict" },
        schema: this.#schema,
        policies: { staticPolicies: { ...policies } },
      });
      if (answer.type !== "success") return undefined;
      const found = new Map<string, string>();
      for (const { policyId, error } of [...answer.validationErrors, ...answer.validationWarnings]) {
        if (!found.has(policyId)) found.set(policyId, withoutPlace(sentence(error)));
      }
      return found;
    }, undefined);
  }

  #ask<T>(call: (wasm: Wasm) => T, doubt: T): T {
    try {
      this.#wasm ??= load(this.#schema);
      return call(this.#wasm);
    } catch {
      // Why it threw does not change the answer: no. The instance goes with it, and whoever asks next pays for another.
      this.#generation += 1;
      this.#wasm = undefined;
      return doubt;
    }
  }
}

/**
 * A new instance: the package makes one when it is loaded, and the module cache would give back the old one. Each load has
 * a `require` of its own, because a parent keeps its children.
 */
function load(schema: string): Wasm {
  // Of the whole process, for all wasm in it. V8 11.3 (Node 20.20) ends the process, "unreachable code", when it throws away
  // optimized code that has called wasm inline; seen once in an ordinary run of 20,000 contracts, and at will with
  // --deopt-every-n-times=1000.
  setFlagsFromString("--no-turbo-inline-js-wasm-calls");
  const require = createRequire(import.meta.url);
  const file = require.resolve("@cedar-policy/cedar-wasm/nodejs");
  delete require.cache[file];
  const wasm = require(file) as Wasm;
  delete require.cache[file];
  const parsed = wasm.preparseSchema(SCHEMA, schema);
  if (parsed.type !== "success") throw new Error(`the Cedar schema is not valid: ${firstOf(parsed.errors)}`);
  return wasm;
}

function firstOf(errors: readonly cedar_wasm.DetailedError[]): string {
  const [first] = errors;
  return first === undefined ? "it could not be read" : sentence(first);
}

function sentence({ message, help }: cedar_wasm.DetailedError): string {
  return help === null ? message : `${message} (${help})`;
}

/** Cedar says the same for every action, in no order, and names the policy by an id that the author never saw. */
function withoutPlace(text: string): string {
  return text.replace(/^for policy `[^`]*`, /, "").replace(/ for Action::"[^"]*"/, "");
}
