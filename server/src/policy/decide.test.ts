import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { canonicalJson } from "../kernel/canonical.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { SnapshotId } from "../kernel/ids.ts";
import { LIMIT_NAMES, type LimitTable, RUN_LIMITS } from "../kernel/limits.ts";
import { builtinContracts } from "./builtin.ts";
import { type Contract, POLICY_REQUEST_BYTES_MAX, type PolicyRequest, REASONS_MAX } from "./contract.ts";
import { Decider, sortReasons } from "./decide.ts";
import { snapshotOf } from "./snapshot.ts";

const scratch = builtinContracts().get("scratch")!;
const snapshot = snapshotOf(scratch).id;
const submit = (limits: Partial<LimitTable> = {}): PolicyRequest => ({
  action: "run.submit",
  resource: "code",
  context: { limits },
});
const decider = new Decider();
const answer = (contract: Contract, request: PolicyRequest) => decider.decide(contract, snapshot, request);
const withLimits = (limits: Partial<LimitTable>): Contract => ({
  ...scratch,
  limits: { ...scratch.limits, ...limits },
});

/** Some of the limits, each with any amount from below its minimum to past its maximum. */
const amounts = fc.record(
  Object.fromEntries(LIMIT_NAMES.map((name) => [name, fc.integer({ min: 0, max: RUN_LIMITS[name].max * 2 })])),
  { requiredKeys: [] },
) as fc.Arbitrary<Partial<LimitTable>>;

describe("a decision", () => {
  it("allows what asks for nothing", () => {
    expect(answer(scratch, submit())).toEqual({
      verdict: "allow",
      reasons: [],
      gates: [],
      snapshot,
      request_hash: sha256Hex(canonicalJson(submit())),
    });
  });

  it.each(LIMIT_NAMES)("allows %s at the ceiling and denies it one past, saying both numbers", (name) => {
    const ceiling = RUN_LIMITS[name].min + 5;
    const contract = withLimits({ [name]: ceiling });
    expect(answer(contract, submit({ [name]: ceiling })).verdict).toBe("allow");
    const denied = answer(contract, submit({ [name]: ceiling + 1 }));
    expect(denied.verdict).toBe("deny");
    expect(denied.reasons).toEqual([
      {
        code: "CONTRACT_LIMIT",
        detail: `${name} ${ceiling + 1} is past the ceiling ${ceiling} of the contract scratch.`,
      },
    ]);
  });

  it("names each limit that is past its ceiling", () => {
    const all = Object.fromEntries(LIMIT_NAMES.map((name) => [name, RUN_LIMITS[name].max + 1]));
    const { reasons } = answer(scratch, submit(all));
    expect(reasons).toHaveLength(LIMIT_NAMES.length);
    expect(reasons.map((reason) => reason.detail)).toEqual(reasons.map((reason) => reason.detail).sort());
  });

  it("is the same for equal requests, whatever the order of their members", () => {
    const one = answer(scratch, {
      action: "run.submit",
      resource: "r",
      context: { limits: { cpu_ms: 1, wall_ms: 2 } },
    });
    const two = answer(scratch, {
      context: { limits: { wall_ms: 2, cpu_ms: 1 } },
      resource: "r",
      action: "run.submit",
    });
    expect(one).toEqual(two);
  });

  it("never turns from deny to allow when a ceiling is lowered", () => {
    fc.assert(
      fc.property(amounts, amounts, amounts, (asked, ceilings, lower) => {
        const before = withLimits(ceilings);
        const after = withLimits(
          Object.fromEntries(
            LIMIT_NAMES.map((name) => [name, Math.min(before.limits[name], lower[name] ?? before.limits[name])]),
          ),
        );
        const [was, is] = [answer(before, submit(asked)), answer(after, submit(asked))];
        if (was.verdict === "deny") expect(is.verdict).toBe("deny");
        expect(is.reasons.length).toBeGreaterThanOrEqual(was.reasons.length);
      }),
    );
  });

  it("never turns from deny to allow when more is asked", () => {
    fc.assert(
      fc.property(amounts, amounts, fc.nat(1_000), (ceilings, asked, more) => {
        const contract = withLimits(ceilings);
        const greedier = Object.fromEntries(Object.entries(asked).map(([name, value]) => [name, value + more]));
        if (answer(contract, submit(asked)).verdict === "deny") {
          expect(answer(contract, submit(greedier)).verdict).toBe("deny");
        }
      }),
    );
  });
});

describe("doubt is denied", () => {
  const cases: [string, unknown, string][] = [
    ["another action", { ...submit(), action: "workflow.start" }, "POLICY_CLASS"],
    ["an action that does not exist", { ...submit(), action: "app.fly" }, "POLICY_EVAL_ERROR"],
    ["a member that no action has", { ...submit(), context: { rule: "0" } }, "POLICY_EVAL_ERROR"],
    ["a member that objects have", { ...submit(), context: { toString: "x" } }, "POLICY_EVAL_ERROR"],
    ["a class that does not exist", { ...submit(), context: { read_class: "secret" } }, "POLICY_EVAL_ERROR"],
    ["a lone surrogate", { ...submit(), resource: "\u{d800}" }, "POLICY_EVAL_ERROR"],
    ["a fraction", submit({ cpu_ms: 0.5 }), "POLICY_EVAL_ERROR"],
    ["not a number", submit({ cpu_ms: Number.NaN }), "POLICY_EVAL_ERROR"],
    ["a text", submit({ cpu_ms: "1" as unknown as number }), "POLICY_EVAL_ERROR"],
    ["null", submit({ cpu_ms: null as unknown as number }), "POLICY_EVAL_ERROR"],
    ["a limit that does not exist", submit({ gpu_ms: 1 } as Partial<LimitTable>), "POLICY_EVAL_ERROR"],
    ["no context", { action: "run.submit", resource: "r" }, "POLICY_EVAL_ERROR"],
    ["nothing", undefined, "POLICY_EVAL_ERROR"],
    [
      "a trap",
      {
        get action() {
          throw new Error("boom");
        },
      },
      "POLICY_EVAL_ERROR",
    ],
  ];
  it.each(cases)("%s", (_name, request, code) => {
    const decision = answer(scratch, request as PolicyRequest);
    expect(decision.verdict).toBe("deny");
    expect(decision.reasons.map((reason) => reason.code)).toEqual([code]);
    expect(decision.request_hash).toMatch(/^[0-9a-f]{64}$/);
  });

  it("a ceiling that is not a number allows nothing", () => {
    const broken = withLimits({ cpu_ms: Number.NaN });
    expect(answer(broken, submit({ cpu_ms: 1 })).verdict).toBe("deny");
  });

  it("a request of POLICY_REQUEST_BYTES_MAX bytes is read, and one byte more is not", () => {
    const bytes = (target: string) => Buffer.byteLength(canonicalJson({ ...submit(), context: { target } }));
    const room = POLICY_REQUEST_BYTES_MAX - bytes("");
    const long = { ...submit(), context: { target: "x".repeat(room) } };
    expect(answer(scratch, long).reasons.map(({ code }) => code)).toEqual(["POLICY_TARGET"]);
    const longer = { ...submit(), context: { target: "x".repeat(room + 1) } };
    expect(answer(scratch, longer).reasons.map(({ code }) => code)).toEqual(["POLICY_EVAL_ERROR"]);
  });

  it("it never throws, whatever it is asked", () => {
    fc.assert(
      fc.property(fc.anything(), fc.anything(), (request, limits) => {
        for (const each of [request, { action: "run.submit", resource: "r", context: { limits } }]) {
          expect(["allow", "deny"]).toContain(answer(scratch, each as PolicyRequest).verdict);
        }
      }),
    );
  });
});

describe("reasons", () => {
  it("are sorted by the place of their code, without repeats, at most 16", () => {
    const reason = fc.record({
      code: fc.constantFrom("CONTRACT_LIMIT", "POLICY_NO_PERMIT", "POLICY_EVAL_ERROR", "OTHER"),
      detail: fc.stringMatching(/^[a-h]$/),
    });
    const order = ["POLICY_NO_PERMIT", "POLICY_EVAL_ERROR", "CONTRACT_LIMIT", "OTHER"];
    fc.assert(
      fc.property(fc.array(reason, { maxLength: 40 }), (reasons) => {
        const sorted = sortReasons(reasons);
        const places = sorted.map((each) => order.indexOf(each.code));
        expect(places).toEqual([...places].sort((a, b) => a - b));
        const texts = sorted.map((each) => `${each.code} ${each.detail}`);
        expect(new Set(texts).size).toBe(texts.length);
        expect(sorted).toEqual(sortReasons([...reasons].reverse()));
        expect(sorted.length).toBe(Math.min(REASONS_MAX, new Set(reasons.map((r) => r.code + r.detail)).size));
      }),
    );
  });

  it("stop at 16", () => {
    const many = (n: number) => Array.from({ length: n }, (_, i) => ({ code: "X", detail: String(i) }));
    expect(sortReasons(many(REASONS_MAX))).toHaveLength(REASONS_MAX);
    expect(sortReasons(many(REASONS_MAX + 1))).toHaveLength(REASONS_MAX);
  });
});

describe("a snapshot id", () => {
  it("is snp_ and the SHA-256 of the canonical body", () => {
    const { id, body } = snapshotOf(scratch);
    expect(id).toBe(`snp_${sha256Hex(body)}`);
    expect(body).toBe(canonicalJson(JSON.parse(body)));
    expect(Object.keys(JSON.parse(body))).toEqual(["contract", "engine", "policies", "schema"]);
  });

  it("is the same whatever the order of the keys, and another for each other contract", () => {
    const reversed = Object.fromEntries(Object.entries(scratch).reverse()) as unknown as Contract;
    expect(snapshotOf(reversed).id).toBe(snapshotOf(scratch).id);
    const ids = new Set<SnapshotId>(LIMIT_NAMES.map((name) => snapshotOf(withLimits({ [name]: 20 })).id));
    expect(ids.add(snapshotOf(scratch).id).size).toBe(LIMIT_NAMES.length + 1);
  });

  it("of scratch is pinned: a change of it is a change of what was decided", () => {
    expect(snapshot).toBe("snp_280b11f894c9333de9bd1a50c8f36f66ef9174992c932955e6f264e045e83c1b");
  });
});
