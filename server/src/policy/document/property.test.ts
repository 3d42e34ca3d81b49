import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { bases, document, repeat } from "../../../../tests/fixtures/contract_documents.ts";
import { canonicalJson } from "../../kernel/canonical.ts";
import { isGantryError } from "../../kernel/errors.ts";
import { isHostPattern } from "../../kernel/hosts.ts";
import { LIMIT_NAMES, RUN_LIMITS } from "../../kernel/limits.ts";
import {
  ACTIONS,
  CONTRACT_CLASSES,
  type Contract,
  DATA_CLASSES,
  isWeaker,
  PHASE_METRICS,
  REQUIREMENTS,
} from "../contract.ts";
import { snapshotOf } from "../snapshot.ts";
import { parseContract } from "./document.ts";
import { covers } from "./gates.ts";
import { renderContract } from "./render.ts";

const read = (text: string): Contract => parseContract({ name: "x.yaml", text }, bases, () => []);

/** What the text is: a contract, or problems each with a place. Anything else is thrown. */
function answer(text: string): Contract | "refused" {
  try {
    return read(text);
  } catch (error) {
    if (!isGantryError(error) || error.code !== "CONTRACT_INVALID") throw error;
    const problems = error.parts.problems ?? [];
    expect(problems.length).toBeGreaterThan(0);
    expect(problems.length).toBeLessThanOrEqual(50);
    for (const { at, line, column, text: said } of problems) {
      expect(at).toMatch(/^x\.yaml#/);
      expect(line).toBeGreaterThan(0);
      expect(column).toBeGreaterThan(0);
      expect(said).toMatch(/^\S.*$/su);
    }
    return "refused";
  }
}

const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);
const set = <T>(of: fc.Arbitrary<T>, min = 0, max = 4) => fc.uniqueArray(of, { minLength: min, maxLength: max });
const some = <T extends object>(members: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record(members, { requiredKeys: [] });
const host = fc.stringMatching(/^(\*\*?|[a-z]{1,5})\.[a-z]{1,6}\.(com|example)$/);
const pattern = fc.stringMatching(/^[a-z*][a-z.*]{0,9}$/);

const egress = fc.uniqueArray(name, { maxLength: 3 }).chain((ids) =>
  fc.tuple(
    ...ids.map((id) =>
      fc.record(
        {
          id: fc.constant(id),
          hosts: set(host, 1),
          protocol: fc.constantFrom("http", "https"),
          ports: set(fc.integer({ min: 1, max: 65_535 }), 1),
          methods: set(fc.constantFrom("GET", "HEAD"), 1, 2),
          paths: set(fc.stringMatching(/^\/[a-z]{1,4}\/\*$/), 1),
          calls_max: fc.integer({ min: 1, max: 1_000 }),
          secret: fc.record({ name, slot: fc.constantFrom("bearer", "basic-password", "header:x-key") }),
          data_class: fc.constantFrom(...DATA_CLASSES),
          on_blocked: fc.constantFrom("refuse", "dead-letter"),
        },
        { requiredKeys: ["hosts", "protocol"] },
      ),
    ),
  ),
);
// Nobody could pass a gate on retries by themselves.
const GATED = ACTIONS.filter((action) => action !== "egress.retry");
const gate = fc.record({ on: fc.constantFrom("*", ...GATED), name, quorum: fc.integer({ min: 1, max: 10 }) });
const strict = { on: "*", name: "strict", quorum: 10, not_after_ms: 1_000, execute_before_ms: 1_000 };
const condition = fc.record({
  metric: fc.constantFrom(...PHASE_METRICS),
  over: fc.integer({ min: 0, max: 9_999 }).map((bp) => bp / 10_000),
  window_ms: fc.integer({ min: 60_000, max: 86_400_000 }),
  min_runs: fc.integer({ min: 1, max: 10_000 }),
});
/** Members that are right whatever a contract extends. */
const anywhere = {
  data: some({ reads: set(fc.constantFrom(...DATA_CLASSES)) }),
  require: set(fc.constantFrom(...REQUIREMENTS), 0, 3),
  tools: fc.array(fc.record({ name: pattern, args: fc.dictionary(name, set(pattern, 1), { maxKeys: 3 }) }), {
    maxLength: 3,
  }),
  idempotent: fc.boolean(),
  jail: fc.constant("required"),
  isolation: fc.constant("process"),
  redaction: some({ prompts: fc.constantFrom("keep", "mask", "drop") }),
  retention: fc.record({
    floor_days: fc.integer({ min: 0, max: 9 }),
    ceiling_days: fc.integer({ min: 9, max: 3_650 }),
  }),
  budgets: some({ egress_calls_max: fc.nat(1_000), egress_bytes_max: fc.nat(1_000_000) }),
  limits: some(
    Object.fromEntries(
      LIMIT_NAMES.map((each) => [each, fc.integer({ min: RUN_LIMITS[each].min, max: RUN_LIMITS[each].max })]),
    ),
  ),
  gates: fc
    .uniqueArray(gate, { selector: (each) => `${each.on} ${each.name}`, maxLength: 3 })
    .map((all) => [...all, strict]),
  attended: fc.record({
    tz: fc.constantFrom("UTC", "Europe/Berlin", "America/New_York"),
    days: set(fc.integer({ min: 1, max: 7 }), 1, 7),
    from: fc.constantFrom("00:00", "08:30"),
    to: fc.constantFrom("08:31", "23:59"),
  }),
  phase: fc.record(
    {
      n: fc.integer({ min: 1, max: 100 }),
      until: fc.constant("2028-02-29"),
      rollback_when: fc.array(condition, { maxLength: 3 }),
    },
    { requiredKeys: ["n"] },
  ),
  budgets_day: some({ run_ms: fc.nat(), effects: fc.nat(1_000), cost_micros: fc.nat() }),
  dlp: fc.record({ action: fc.constantFrom("log", "deny") }),
  shadow_mcp: fc.constantFrom("log", "deny"),
  cedar: fc.array(fc.string({ unit: "grapheme", maxLength: 40 }), { maxLength: 2 }),
  bindings: some({
    artifacts: fc.record({ repos: set(pattern, 1) }),
    flags: fc.record({ app: name, as: fc.constantFrom("FLAGS", "F2") }),
    workflows: fc.record({ names: set(pattern, 1) }),
  }),
};
/** A document that is right, and the base that it extends. */
const right = fc.oneof(
  fc.record({ base: fc.constantFrom("scratch", "temporary"), more: some(anywhere) }),
  fc.record({
    base: fc.constantFrom("read-only", "staging-mutation", "production"),
    more: some({ ...anywhere, egress }),
  }),
);

/** The members of every map in another order. */
function shuffled(value: unknown, seed: number): unknown {
  if (Array.isArray(value)) return value.map((item) => shuffled(item, seed));
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).map(([key, member]) => [key, shuffled(member, seed)] as const);
  const at = seed % Math.max(1, members.length);
  return Object.fromEntries([...members.slice(at), ...members.slice(0, at)].reverse());
}

/** What holds of every contract, whatever was written: looked at without the code that reads documents. */
function sound(contract: Contract): void {
  const base = bases.get(contract.extends ?? "")!;
  expect(Object.keys(contract).sort()).toEqual(Object.keys(base).sort());
  expect(CONTRACT_CLASSES.indexOf(contract.class)).toBeGreaterThanOrEqual(CONTRACT_CLASSES.indexOf(base.class));
  for (const limit of LIMIT_NAMES) expect(contract.limits[limit]).toBeLessThanOrEqual(base.limits[limit]);
  expect(isWeaker(contract.isolation_floor, base.isolation_floor)).toBe(false);
  expect(isWeaker(contract.isolation, contract.isolation_floor)).toBe(false);
  for (const asked of base.gates) expect(contract.gates.some((each) => covers(each, asked))).toBe(true);
  if (contract.class === "privileged") {
    expect(contract).toMatchObject({ isolation: "process", isolation_floor: "process", jail: "required" });
    expect(contract.gates.some(({ on }) => on === "*" || on === "run.submit")).toBe(true);
  }
  if (contract.class === "read-only") {
    expect(contract.data.writes).toEqual([]);
    expect(
      contract.egress.every(({ methods }) => methods?.every((each) => each === "GET" || each === "HEAD") ?? true),
    ).toBe(true);
  }
  expect(contract.egress.flatMap(({ hosts }) => hosts).every(isHostPattern)).toBe(true);
  canonicalJson(contract); // Throws for what no snapshot can hold: fractions, half surrogates.
}

describe("every document that is right", () => {
  it("is a sound contract, which can be written out and read again", () => {
    fc.assert(
      fc.property(right, ({ base, more }) => {
        const contract = read(document(base, more));
        sound(contract);
        expect(read(renderContract(contract))).toEqual(contract);
        expect(renderContract(read(renderContract(contract)))).toBe(renderContract(contract));
      }),
      { numRuns: 100 },
    );
  });

  it("has one snapshot: as JSON, as YAML, and in any order of its keys", () => {
    fc.assert(
      fc.property(right, fc.nat(50), ({ base, more }, seed) => {
        const value = { kind: "Contract", name: "acme", extends: base, ...more };
        const { id } = snapshotOf(read(JSON.stringify(value)));
        expect(snapshotOf(read(JSON.stringify(shuffled(value, seed)))).id).toBe(id);
        expect(snapshotOf(read(stringify(value, { aliasDuplicateObjects: false }))).id).toBe(id);
        expect(snapshotOf(shuffled(read(JSON.stringify(value)), seed) as Contract).id).toBe(id);
      }),
      { numRuns: 60 },
    );
  });
});

describe("every change of a document", () => {
  const garbage = fc.oneof(
    fc.constantFrom<unknown>(
      null,
      true,
      -1,
      0,
      0.5,
      1e300,
      "",
      "*",
      "**",
      "privileged",
      "production",
      "__proto__",
      [],
      {},
      [[]],
      [{}],
    ),
    fc.jsonValue({ maxDepth: 2 }),
  );

  /** Puts `by` in the place of one value of the tree, or beside it under a key of its own. */
  function changed(value: unknown, steps: number[], by: unknown, key: string | undefined): unknown {
    const [step, ...rest] = steps;
    if (typeof value !== "object" || value === null || step === undefined) return by;
    const keys = Object.keys(value);
    const at = keys[step % (keys.length + 1)];
    if (Array.isArray(value))
      return at === undefined
        ? [...value, by]
        : value.map((item, i) => (i === Number(at) ? changed(item, rest, by, key) : item));
    if (at === undefined) return { ...value, [key ?? "x"]: by };
    return Object.fromEntries(
      Object.entries(value).map(([each, member]) => [each, each === at ? changed(member, rest, by, key) : member]),
    );
  }

  it("of a value gives a sound contract, or problems with their places", () => {
    let [accepted, refused] = [0, 0];
    const steps = fc.array(fc.nat(9), { minLength: 1, maxLength: 5 });
    const key = fc.constantFrom(undefined, "class", "gates", "egress", "__proto__", "constructor", "on", "hosts");
    fc.assert(
      fc.property(right, steps, garbage, key, ({ base, more }, at, by, as) => {
        const value = changed({ kind: "Contract", name: "acme", extends: base, ...more }, at, by, as);
        const got = answer(JSON.stringify(value));
        if (got === "refused") refused += 1;
        else {
          accepted += 1;
          sound(got);
          expect(read(renderContract(got))).toEqual(got);
        }
      }),
      { numRuns: 200 },
    );
    expect(Math.min(accepted, refused)).toBeGreaterThan(0);
  });

  it("of the text gives a sound contract, or problems with their places", () => {
    const piece = fc.constantFrom(
      ..."{}[]&*!|>-?:,#'\"\n\t %@`~a1",
      "<<: ",
      "&a ",
      "*a",
      "!!str ",
      "\n---\n",
      "\u0000",
      "\ud800",
    );
    fc.assert(
      fc.property(
        right,
        fc.array(fc.tuple(fc.nat(), fc.nat(6), piece), { minLength: 1, maxLength: 3 }),
        ({ base, more }, edits) => {
          let text = stringify(
            { kind: "Contract", name: "acme", extends: base, ...more },
            { aliasDuplicateObjects: false },
          );
          for (const [at, cut, put] of edits) {
            const place = at % (text.length + 1);
            text = text.slice(0, place) + put + text.slice(place + cut);
          }
          const got = answer(text);
          if (got !== "refused") sound(got);
        },
      ),
      { numRuns: 200 },
    );
  });

  it("to what is no document at all is refused, whatever it is", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary", maxLength: 300 }),
      fc.json(),
      fc.string({ unit: fc.constantFrom(..."[]{},:-&*!a\n ") }),
    );
    fc.assert(
      fc.property(text, (each) => {
        expect(answer(each)).toBe("refused");
      }),
      { numRuns: 200 },
    );
  });
});

it("a document that is wrong in a thousand places is refused with fifty of them, and at once", () => {
  const wrong = {
    egress: repeat(200, () => ({ hosts: ["A"], protocol: "x", ports: [0], methods: ["a"], paths: ["b"] })),
  };
  expect(() => read(document("staging-mutation", wrong))).toThrow(/50 problems/);
});
