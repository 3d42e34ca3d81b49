import type { Entry } from "@gantry/sdk";
import { count, duration, type Paint, wrap } from "../text.ts";
import { countKinds } from "./ledger_lines.ts";
import { type SceneReport, WIDTH } from "./stage.ts";

/** What the ledger counts. */
export interface Counts {
  entries: number;
  runs: number;
  /** How runs ended, by termination. */
  endings: Record<string, number>;
  leases: number;
  effects: number;
  approvals: number;
  votes: number;
  kinds: Record<string, number>;
}

export function countsOf(entries: readonly Entry[]): Counts {
  const kinds = countKinds(entries.map(({ kind }) => kind));
  const ended = entries.filter(({ kind }) => kind === "run.ended").map(({ data }) => String(data["termination"]));
  const of = (kind: string): number => kinds.get(kind) ?? 0;
  return {
    entries: entries.length,
    runs: ended.length,
    endings: Object.fromEntries(countKinds(ended)),
    leases: of("lease.issued"),
    effects: of("effect.ended"),
    approvals: of("approval.requested"),
    votes: of("approval.voted"),
    kinds: Object.fromEntries([...kinds].sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

/** What became of the telling. */
export interface Recap {
  ok: boolean;
  took_ms: number;
  counts: Counts;
  reports: readonly SceneReport[];
  trouble: { scene: string | undefined; says: string; look: string } | undefined;
}

/** Counts by the ledger, and whether everything happened as the story says. Ends with a newline. */
export function recapText({ ok, took_ms, counts, reports, trouble }: Recap, paint: Paint): string {
  const claims = reports.flatMap((report) => report.claims);
  const held = claims.filter((claim) => claim.held).length;
  const rows = [];
  if (counts.entries > 0) {
    const endings = Object.entries(counts.endings).map(([ending, n]) => `${n} ${ending}`);
    rows.push(
      `${count(counts.runs, "run")}: ${endings.join(", ")}`,
      `${count(counts.approvals, "approval")} asked for, ${count(counts.votes, "vote")} of a person, ` +
        `${count(counts.leases, "lease")} of the secret, ${count(counts.effects, "effect")} outside`,
      `${count(counts.entries, "entry", "entries")} in the ledger, all of them in the bundle that was verified`,
    );
  }
  rows.push(`${held} of ${count(claims.length, "statement")} checked and found true, ${duration(took_ms)} in all`);
  if (ok) rows.push(paint("green", "Everything happened as the story says."));
  if (trouble !== undefined) {
    rows.push(paint("red", `In scene ${reports.length}${trouble.scene === undefined ? "" : ` (${trouble.scene})`}:`));
    rows.push(paint("red", trouble.says), `Where to look: ${trouble.look}`);
  }
  return `\n${paint("bold", "Recap")}\n${rows.map((row) => wrap(row, WIDTH, "  ")).join("\n")}\n`;
}

/** What to do after the story. Ends with a newline. */
export function nextText(paint: Paint): string {
  const steps: readonly (readonly [what: string, why: string])[] = [
    ["npx gantry up", "a server that stays; it prints a login link"],
    ["http://127.0.0.1:4280/", "there: the inbox, where people decide"],
    ["http://127.0.0.1:4280/mcp", "there: for agents that speak MCP, see docs/mcp.md"],
    ["npx gantry demo --programs", "eight more programs; one tries to break out"],
    ["docs/start.md", "your own first hour, step by step"],
  ];
  const lines = steps.map(([what, why]) => `  ${paint("cyan", what.padEnd(27))} ${why}`);
  return `\n${paint("bold", "Next")}\n${lines.join("\n")}\n`;
}
