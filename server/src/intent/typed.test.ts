import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { applyApproved } from "../../../tests/fixtures/people.ts";
import { ask, openRunsGround, type RunsGround } from "../../../tests/fixtures/runs_ground.ts";
import { heldScript } from "../../../tests/fixtures/scripted_pool.ts";
import { RecordedOpening } from "../evidence/private/values.ts";
import { sha256Hex } from "../kernel/hash.ts";
import { PROMPT_BYTES_MAX, type RunRequest, runRequest, SIGNATURE_CHARS_MAX, WHY_MAX } from "./contract.ts";

/** What people and models type for a run: where it is kept, and where it is not. */

const WHY = "for me@example.com";
const MASKED_WHY = "for [masked:email]";
const PROMPT = `sum it, and log in with password=${"hunter"}2`;
const MASKED_PROMPT = "sum it, and log in with password=[masked:secret]";

let house: RunsGround;
let values: RecordedOpening;

beforeAll(async () => {
  house = await openRunsGround({ capacity: { slots: 1, memory_mb: 512 } });
  values = new RecordedOpening(house);
  for (const name of ["keep", "mask", "drop"]) {
    const text = `kind: Contract\nname: ${name}\nextends: scratch\nlimits: {cpu_ms: 500}\nredaction: {prompts: ${name}}\n`;
    await applyApproved(house, { name: `${name}.yaml`, text });
  }
  await house.runs.recover();
});
afterAll(() => house.remove());
beforeEach(() => {
  house.pool.script = () => ({});
});

const typed = { why: WHY, prompt: PROMPT };
const submit = (more: Partial<RunRequest> = {}, key?: string) =>
  house.runs.submit(house.owner, ask({ ...typed, ...more }), key === undefined ? {} : { key });
const whyOf = async (run: string) => (await house.storage.get("SELECT why FROM runs WHERE id = ?", [run]))?.["why"];
const open = async (entry: string, field: string) =>
  Buffer.from((await values.open(entry, field, house.owner)).value).toString("utf8");
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => "none",
    (error: { code?: string }) => error.code,
  );
/** Every text and every blob that the run left in any table, but the private values. */
async function leftovers(run: string): Promise<string> {
  const entries = (await house.entriesOf(run)).map(({ id }) => id);
  const rows = [
    await house.storage.all("SELECT * FROM runs WHERE id = ?", [run]),
    await house.storage.all("SELECT * FROM run_logs WHERE run = ?", [run]),
    await house.storage.all("SELECT * FROM run_keys", []),
    await house.storage.all("SELECT * FROM timers", []),
  ].flat();
  for (const id of entries) {
    rows.push(...(await house.storage.all("SELECT body FROM evidence_entries WHERE id = ?", [id])));
  }
  return rows
    .flatMap((row) => Object.values(row))
    .map((value) => (value instanceof Uint8Array ? Buffer.from(value).toString("utf8") : String(value)))
    .join("\n");
}

describe.each([
  ["scratch", MASKED_WHY, MASKED_PROMPT],
  ["keep", WHY, PROMPT],
  ["mask", MASKED_WHY, MASKED_PROMPT],
] as const)("under the contract %s", (contract, why, prompt) => {
  it("a run's why and prompt are private fields of its admission", async () => {
    const view = await submit({ contract });
    const [admitted, ended] = await house.entriesOf(view.id);
    expect([admitted?.kind, ended?.kind]).toEqual(["run.admitted", "run.ended"]);
    expect(Object.keys(admitted?.commitments ?? {}).sort()).toEqual(["prompt", "why"]);
    expect(ended).not.toHaveProperty("commitments");
    expect(await open(admitted!.id, "why")).toBe(why);
    expect(await open(admitted!.id, "prompt")).toBe(prompt);
  });

  it("the run's own row has the same of the why, and nothing of the prompt", async () => {
    const view = await submit({ contract });
    expect(await whyOf(view.id)).toBe(why);
    const left = await leftovers(view.id);
    expect(left).not.toContain("sum it");
    if (contract !== "keep") expect(left).not.toContain("me@example.com");
  });
});

describe("under a contract that drops what was typed", () => {
  it("a commitment is all that there is", async () => {
    const view = await submit({ contract: "drop" });
    const [admitted] = await house.entriesOf(view.id);
    expect(Object.keys(admitted?.commitments ?? {}).sort()).toEqual(["prompt", "why"]);
    for (const field of ["why", "prompt"]) {
      expect(await codeOf(values.open(admitted!.id, field, house.owner))).toBe("EVIDENCE_NOT_KEPT");
    }
    expect(await whyOf(view.id)).toBeNull();
    expect(await leftovers(view.id)).not.toMatch(/example\.com|sum it/);
  });
});

describe("what was typed", () => {
  it("for a run that has to wait is part of run.queued, and of no later entry", async () => {
    for (const contract of ["keep", "drop"]) {
      const held = heldScript();
      house.pool.script = held.script;
      const holder = await house.runs.submit(house.owner, ask({ wait_ms: 0 }));
      await eventually(() => held.waiting.includes(holder.id));
      const view = await submit({ contract, wait_ms: 0 });
      expect(view.state).toBe("queued");
      house.pool.script = () => ({});
      held.endAll();
      await house.runs.get(house.owner, view.id, 5_000);
      const entries = await house.entriesOf(view.id);
      expect(entries.map(({ kind, commitments }) => [kind, commitments !== undefined])).toEqual([
        ["run.queued", true],
        ["run.admitted", false],
        ["run.ended", false],
      ]);
      if (contract === "keep") expect(await open(entries[0]!.id, "prompt")).toBe(PROMPT);
      else expect(await codeOf(values.open(entries[0]!.id, "prompt", house.owner))).toBe("EVIDENCE_NOT_KEPT");
      expect(await leftovers(view.id)).not.toContain("sum it");
    }
  });

  it("for a run that was denied is part of the denial", async () => {
    const error = await submit({ contract: "keep", limits: { cpu_ms: 501 } }).catch((each) => each);
    const [denied] = await house.entriesOf(error.parts.run);
    expect(denied?.kind).toBe("run.ended");
    expect(await open(denied!.id, "why")).toBe(WHY);
  });

  it("is told to nobody by the entry itself: no hash, and equal words look different", async () => {
    const [one, two] = [await submit(), await submit()];
    const [first] = await house.entriesOf(one.id);
    const [second] = await house.entriesOf(two.id);
    expect(first?.commitments?.["why"]).not.toBe(second?.commitments?.["why"]);
    expect(JSON.stringify(first)).not.toContain(sha256Hex(WHY));
    expect(JSON.stringify(first)).not.toContain(sha256Hex(MASKED_WHY));
    expect(first?.data).not.toHaveProperty("why_hash");
  });

  it("may be one of the two, or nothing", async () => {
    const fields = async (more: Partial<RunRequest>) => {
      const view = await house.runs.submit(house.owner, ask(more));
      return Object.keys((await house.entriesOf(view.id))[0]?.commitments ?? {});
    };
    expect(await fields({ why: WHY })).toEqual(["why"]);
    expect(await fields({ prompt: PROMPT })).toEqual(["prompt"]);
    expect(await fields({})).toEqual([]);
    expect(await fields({ prompt: "" })).toEqual(["prompt"]);
  });

  it("belongs to the request that an idempotency key names", async () => {
    const view = await submit({}, "typed-1");
    expect((await submit({}, "typed-1")).id).toBe(view.id);
    expect(await codeOf(submit({ prompt: "something else" }, "typed-1"))).toBe("IDEMPOTENCY_MISMATCH");
  });

  it("has limits: of why in characters, of the prompt in bytes", async () => {
    const prompt = "é".repeat(PROMPT_BYTES_MAX / 2);
    const view = await submit({ contract: "keep", why: "é".repeat(WHY_MAX), prompt });
    expect(await open((await house.entriesOf(view.id))[0]!.id, "prompt")).toBe(prompt);
    const fits = (more: object) => runRequest.safeParse({ code: { source: "" }, ...more }).success;
    expect([fits({ prompt }), fits({ prompt: `${prompt}x` })]).toEqual([true, false]);
    expect([
      fits({ prompt: "x".repeat(PROMPT_BYTES_MAX) }),
      fits({ prompt: "\0" }),
      fits({ prompt: "\ud800" }),
    ]).toEqual([true, false, false]);
  });

  it("has limits: of signatures in characters", () => {
    const signed = (chars: number) => `a.b.${"c".repeat(chars - 4)}`;
    const fits = (more: object) => runRequest.safeParse({ code: { source: "" }, ...more }).success;
    expect(
      ["task", "code_signature"].map((name) => [
        fits({ [name]: signed(SIGNATURE_CHARS_MAX) }),
        fits({ [name]: signed(SIGNATURE_CHARS_MAX + 1) }),
      ]),
    ).toEqual([
      [true, false],
      [true, false],
    ]);
  });
});
