import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { type Ground, openGround } from "../../../../tests/fixtures/ground.ts";
import { plain_facts, small_limits } from "../../../../tests/fixtures/run_facts.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import { kinds as intent_kinds } from "../../intent/kinds.ts";
import type { EntryId, TenantId } from "../../kernel/ids.ts";
import { type EntryDraft, TIMELINE_ACTORS_MAX, TIMELINE_ENTRIES_MAX } from "../contract.ts";
import { Timelines } from "./timeline.ts";
import { timelineJson, timelineMarkdown } from "./timeline_forms.ts";
import { plainText } from "./told.ts";

const kinds = { ...intent_kinds, "flag.raised": z.strictObject({ flag: z.string(), to: z.int() }) };
const clock = new VirtualClock(Date.UTC(2026, 0, 2, 3, 4, 5, 678));
let ground: Ground;
let timelines: Timelines;

beforeAll(async () => {
  ground = await openGround({ kinds, sealing: true, clock });
  timelines = new Timelines(ground);
});
afterAll(() => ground.remove());

const sha = "0".repeat(64);
const limits = small_limits;
const code_facts = { ...plain_facts, hosts: ["a.example"], dropped: 0 };
const admitted = (run: string, attempt = 1) => ({
  run,
  attempt,
  code_hash: sha,
  input_hash: sha,
  limits,
  lane: "batch",
  isolation: "process",
  deadline_at: 1_700_000_000_000,
  code_facts,
});
const ended = (run: string, more: Record<string, unknown> = {}) => ({
  run,
  attempt: 1,
  termination: "completed",
  code_hash: sha,
  cpu_ms: 3,
  ...more,
});
const append = (draft: Omit<EntryDraft, "actor"> & { actor?: EntryDraft["actor"] }): Promise<EntryId> =>
  ground.storage.write((tx) => ground.ledger.append(tx, { actor: [], ...draft }));
const newTenant = (): TenantId => ground.ids("ten");
const story = async (ask: { ref: string } | { since: number }, tenant: TenantId) => {
  const timeline = await timelines.tell(ask, tenant);
  return {
    json: timelineJson(timeline),
    md: timelineMarkdown(timeline),
    gaps: timeline.gaps.map(({ text }) => plainText(text)),
  };
};

/** One run with all that may happen to it. */
async function wholeStory() {
  const tenant = newTenant();
  const [human, agent, run] = [ground.ids("act"), ground.ids("act"), ground.ids("run")];
  const actor = [
    { actor: human, kind: "human" as const },
    { actor: agent, kind: "agent" as const },
  ];
  await append({
    kind: "actor.created",
    tenant,
    refs: [human],
    data: { actor: human, kind: "human", name: "eve *_`#`_*", owner: null },
  });
  await append({
    kind: "actor.created",
    tenant,
    refs: [agent, human],
    data: { actor: agent, kind: "agent", name: "bot", owner: human },
  });
  const under = { tenant, actor, refs: [run], snapshot: "snp_1", contract: { name: "scratch", version: 2 } };
  const ids = [
    await append({
      ...under,
      kind: "run.queued",
      data: { run, attempt: 1, lane: "batch", downgraded: true, expires_at: 1_700_000_000_000 },
    }),
    await append({
      ...under,
      kind: "run.admitted",
      decision: { verdict: "allow", codes: [] },
      data: admitted(run),
      private: { note: { class: "prompts", value: "secret words", redaction: "drop" } },
    }),
    await append({
      ...under,
      kind: "run.ended",
      data: ended(run, {
        log_dropped: 7,
        egress: [
          { host: "evil`.example](http://x)\n# owned", method: "GET", count: 3, verdict: "denied" },
          { host: "*", method: "*", count: 5, verdict: "denied" },
        ],
      }),
    }),
    await append({ tenant, actor, kind: "flag.raised", refs: [run], data: { flag: "checkout", to: 25 } }),
  ];
  await ground.seal();
  const entries = await Promise.all(ids.map((id) => ground.ledger.get(id, tenant)));
  return { tenant, human, agent, run, ids, at: entries.map(({ index }) => `index ${index}`) };
}

describe("a timeline", () => {
  it("tells in order who did what under which rule, how it ended, and what is not there", async () => {
    const { tenant, human, agent, run, ids, at } = await wholeStory();
    const { md } = await story({ ref: run }, tenant);
    const time = `\`${new Date(clock.now()).toISOString()}\``;
    const who = `  - By \`\`agent bot (${agent}) for human eve *_\`#\`_* (${human})\`\`.`;
    const under = "  - Under contract `scratch@2`, snapshot `snp_1`.";
    expect(md).toBe(`# Timeline of \`${run}\`

\`4\` entries of tenant \`${tenant}\`, from ${time} to ${time}. Reconstructed from the ledger alone: times are UTC, every line names its entry, nothing is inferred.

## What happened

- ${time} Run \`${run}\` waits for a slot in the lane \`batch\`, attempt \`1\`. \`${ids[0]}\`, ${at[0]}
${who}
${under}
  - It expires \`2023-11-14T22:13:20.000Z\`.
  - It had asked for the interactive lane, and accepted this one.
- ${time} Run \`${run}\` got a slot: attempt \`1\`, lane \`batch\`, isolation \`process\`. \`${ids[1]}\`, ${at[1]}
${who}
${under}
  - Policy allowed it.
  - Code \`${sha}\`, input \`${sha}\` (SHA-256).
  - Limits: \`code_bytes_max 1, cpu_ms 1, input_bytes_max 1, log_bytes_max 0, memory_mb 16, modules_max 1, output_bytes_max 1, wall_ms 1\`. Deadline \`2023-11-14T22:13:20.000Z\`.
  - The code names the hosts \`a.example\`.
- ${time} Run \`${run}\` ended: \`completed\`, attempt \`1\`. \`${ids[2]}\`, ${at[2]}
${who}
${under}
  - Used: \`cpu_ms 3\`.
  - Blocked: \`GET\` \`\`evil\`.example](http://x)\\u000a# owned\`\`, \`3\` times, \`denied\`.
- ${time} An entry of the kind \`flag.raised\` was recorded. \`${ids[3]}\`, ${at[3]}
${who}
  - \`flag\`: \`checkout\`
  - \`to\`: \`25\`

## Gaps

- \`5\` more calls that were blocked did not fit into the entry; their hosts are not recorded. \`${ids[2]}\`
- \`7\` bytes of the log were dropped. \`${ids[2]}\`
- Of code, inputs, results and logs of runs the ledger has hashes; what they held, it does not say.
- The value of \`note\` was never kept; the entry has a commitment to it. \`${ids[1]}\`
`);
  });

  it("is the same bytes for the same ledger", async () => {
    const { tenant, run } = await wholeStory();
    const first = await story({ ref: run }, tenant);
    await wholeStory();
    clock.advance(86_400_000);
    expect(await story({ ref: run }, tenant)).toEqual(first);
    expect(JSON.stringify((await story({ ref: run }, tenant)).json)).toBe(JSON.stringify(first.json));
  });

  it("as JSON names each entry with its place, and holds no private value", async () => {
    const { tenant, run, ids, agent } = await wholeStory();
    const { json } = await story({ ref: run }, tenant);
    expect(json).toMatchObject({ v: 1, ref: run, tenant });
    expect(json.lines.map(({ entry }) => entry)).toEqual(ids);
    expect(json.lines[1]).toMatchObject({
      kind: "run.admitted",
      chain: [
        { kind: "human", name: "eve *_`#`_*" },
        { actor: agent, kind: "agent", name: "bot" },
      ],
      decision: { verdict: "allow", codes: [] },
      contract: { name: "scratch", version: 2 },
    });
    expect(JSON.stringify(json)).not.toContain("secret words");
  });

  it("from a time on has what was recorded since, and nothing of other tenants", async () => {
    const tenant = newTenant();
    clock.advance(1_000);
    await append({ kind: "flag.raised", tenant, data: { flag: "early", to: 1 } });
    clock.advance(1_000);
    await append({ kind: "flag.raised", tenant: newTenant(), data: { flag: "foreign", to: 1 } });
    await append({ kind: "flag.raised", tenant, data: { flag: "late", to: 1 } });
    const { md } = await story({ since: clock.now() }, tenant);
    expect(md).toContain("late");
    expect(md).not.toMatch(/early|foreign/);
    const empty = await story({ since: clock.now() + 1 }, tenant);
    expect(empty.md).toContain("Nothing of tenant");
    await expect(timelines.tell({ ref: "none" }, tenant)).rejects.toMatchObject({ code: "EVIDENCE_UNKNOWN" });
  });
});

describe("gaps", () => {
  it("are runs without an end, attempts without one, and ends without an admission", async () => {
    const tenant = newTenant();
    const [open, again, denied] = ["run_open", "run_again", "run_denied"];
    await append({ kind: "run.admitted", tenant, data: admitted(open) });
    await append({ kind: "run.admitted", tenant, data: admitted(again, 1) });
    await append({ kind: "run.admitted", tenant, data: admitted(again, 2) });
    await append({ kind: "run.ended", tenant, data: ended(again) });
    await append({
      kind: "run.ended",
      tenant,
      decision: { verdict: "deny", codes: ["CONTRACT_LIMIT"] },
      data: { run: denied, attempt: 0, termination: "denied", code: "CONTRACT_LIMIT", code_hash: sha },
    });
    await ground.seal();
    const { gaps, md } = await story({ since: 0 }, tenant);
    expect(gaps).toEqual([
      "No use is recorded: it did not execute, or what it used was lost.",
      "No end of run run_open is recorded here.",
      "How attempt 1 of run run_again ended is not recorded; another followed.",
      "No admission of run run_denied is recorded here: it got no slot, or that was before.",
      "Of code, inputs, results and logs of runs the ledger has hashes; what they held, it does not say.",
    ]);
    expect(md).toContain("Policy denied it: `CONTRACT_LIMIT`.");
  });

  it("are entries that wait to be sealed", async () => {
    const unsealed = await openGround({ kinds });
    try {
      const tenant = unsealed.ids("ten");
      await unsealed.storage.write((tx) =>
        unsealed.ledger.append(tx, { kind: "flag.raised", tenant, actor: [], data: { flag: "f", to: 1 } }),
      );
      const { gaps, lines } = await new Timelines(unsealed).tell({ since: 0 }, tenant);
      expect(gaps).toMatchObject([
        { entry: lines[0]?.entry.id, text: { words: ["The entry is not in the signed log yet."] } },
      ]);
    } finally {
      await unsealed.remove();
    }
  });

  it("are private values: kept, masked, dropped, erased or missing", async () => {
    const tenant = newTenant();
    const field = (redaction: "keep" | "mask" | "drop") => ({ class: "prompts" as const, value: "v", redaction });
    const id = await append({
      kind: "flag.raised",
      tenant,
      data: { flag: "f", to: 1 },
      private: { a: field("keep"), b: field("mask"), c: field("drop"), d: field("keep"), e: field("keep") },
    });
    await ground.storage.write((tx) => {
      tx.run("UPDATE evidence_private SET state = 'erased', key = NULL, value = NULL WHERE entry = ? AND field = 'd'", [
        id,
      ]);
      tx.run("DELETE FROM evidence_private WHERE entry = ? AND field = 'e'", [id]);
    });
    await ground.seal();
    expect((await story({ since: 0 }, tenant)).gaps).toEqual([
      "The value of a is private and not told; it is kept and can be opened.",
      "The value of b is private and not told; it was masked before it was kept.",
      "The value of c was never kept; the entry has a commitment to it.",
      "The value of d was erased.",
      "The value of e is missing, although the entry has a commitment to it.",
    ]);
  });

  it("are what comes after TIMELINE_ENTRIES_MAX entries, and at exactly so many there is none", async () => {
    expect(TIMELINE_ENTRIES_MAX).toBe(5_000);
    const tenant = newTenant();
    for (let n = 0; n < 250; n++) await append({ kind: "flag.raised", tenant, data: { flag: "f", to: n } });
    await ground.seal();
    const whole = await new Timelines({ ...ground, entries_max: 250 }).tell({ since: 0 }, tenant);
    expect(whole).toMatchObject({ gaps: [] });
    expect(whole.lines).toHaveLength(250);
    const cut = await new Timelines({ ...ground, entries_max: 249 }).tell({ since: 0 }, tenant);
    expect(cut.lines).toHaveLength(249);
    expect(cut.gaps.map(({ text }) => plainText(text))).toEqual([
      `Only the first 249 entries are told; there are more after index ${cut.lines.at(-1)?.entry.index}.`,
    ]);
  });

  it("are no names past TIMELINE_ACTORS_MAX actors: those are told by id", async () => {
    const tenant = newTenant();
    const ids = Array.from({ length: TIMELINE_ACTORS_MAX + 1 }, () => ground.ids("act"));
    for (const id of ids) {
      const actor = [{ actor: id, kind: "human" as const }];
      await append({
        kind: "actor.created",
        tenant,
        actor,
        refs: [id],
        data: { actor: id, kind: "human", name: "n", owner: null },
      });
    }
    await ground.seal();
    const { lines } = await timelines.tell({ since: 0 }, tenant);
    const named = lines.map(({ chain }) => chain[0]?.name);
    expect(named).toEqual([...Array.from({ length: TIMELINE_ACTORS_MAX }, () => "n"), undefined]);
  });
});

it("whatever is recorded is told, without a heading or a line that a value made", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: fc.constantFrom("`", "#", "\n", "-", " ", "a", "]", "(") }), {
        minLength: 1,
        maxLength: 5,
      }),
      async (flags) => {
        const tenant = newTenant();
        for (const flag of flags) await append({ kind: "flag.raised", tenant, data: { flag, to: 1 } });
        await ground.seal();
        const { md } = await story({ since: 0 }, tenant);
        const lines = md.split("\n");
        expect(lines.filter((line) => line.startsWith("#"))).toHaveLength(3);
        expect(lines.filter((line) => line.startsWith("- "))).toHaveLength(flags.length);
        expect(lines.filter((line) => line.startsWith("  - `flag`: "))).toHaveLength(flags.length);
      },
    ),
    { numRuns: 15 },
  );
});
