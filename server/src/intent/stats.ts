import type { RunnerPool } from "../execution/contract.ts";
import type { Principal } from "../identity/contract.ts";
import { assert } from "../kernel/assert.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Row, Storage, Value } from "../storage/contract.ts";
import { STATS_RATE_MS, STATS_REFUSALS_MAX, STATS_RUNS_MAX } from "./contract.ts";
import { spreadOf } from "./percentiles.ts";
import type { Denial, Figures, LaneFigures, MachineFigures } from "./stats_shapes.ts";
import { scanEnded, scanLive, scanRefused } from "./stats_store.ts";

export interface StatsDeps {
  storage: Pick<Storage, "scan">;
  clock: Clock;
  pool: Pick<RunnerPool, "stats">;
  /** Of this node. */
  slots: () => MachineFigures["slots"];
  /** What gates/ says of the tenant's approvals that wait. */
  approvals: (tenant: string, now: number) => Promise<NonNullable<Figures["approvals"]>>;
  /** What evidence/ says of its log and of whoever has copies of it. */
  ledger: () => Promise<MachineFigures["ledger"]>;
  witnesses: () => Promise<MachineFigures["witnesses"]>;
}

/** One ended run, as far as it is counted. */
interface Ended {
  at: number;
  lane: string;
  termination: string;
  /** Microseconds, as all `_us`; null: it never had a runner. */
  startup_us: number | null;
  completion_us: number | null;
  queued_us: number | null;
}

/** Figures of what a tenant's runs do and did. They cost at most `STATS_RUNS_MAX` rows of an index, however many there are. */
export class RunFigures {
  readonly #d: StatsDeps;
  /** Being counted, by tenant and window: whoever asks the same meanwhile is given the same. */
  readonly #counting = new Map<string, Promise<Omit<Figures, "machine">>>();

  constructor(deps: StatsDeps) {
    this.#d = deps;
  }

  /**
   * @param window_ms  `STATS_WINDOW_MS_MIN` to `STATS_WINDOW_MS_MAX`; a run counts when it ended within.
   * @returns with `approvals` only for whoever has the scope `gate:read`, with `machine` only for `ops:read`.
   */
  async get(who: Pick<Principal, "tenant" | "scopes">, window_ms: number): Promise<Figures> {
    const key = `${who.tenant} ${window_ms}`;
    const counting =
      this.#counting.get(key) ?? this.#count(who.tenant, window_ms).finally(() => this.#counting.delete(key));
    this.#counting.set(key, counting);
    const machine = who.scopes.has("ops:read") ? this.#machine() : null;
    const [counted, of_machine] = await Promise.all([counting, machine]);
    const approvals = who.scopes.has("gate:read") ? counted.approvals : null;
    return { ...counted, approvals, machine: of_machine };
  }

  async #count(tenant: string, window_ms: number): Promise<Omit<Figures, "machine">> {
    const at = this.#d.clock.now();
    const since = at - window_ms;
    const [runs, live, approvals, denials] = await Promise.all([
      this.#ended(tenant, at, since),
      this.#live(tenant, at),
      this.#d.approvals(tenant, at),
      this.#denials(tenant, since),
    ]);
    return { at, window_ms, runs, ...live, approvals, denials };
  }

  async #ended(tenant: string, at: number, since: number): Promise<Figures["runs"]> {
    const ended: Ended[] = [];
    for await (const rows of scanEnded(this.#d.storage, { tenant, since, limit: STATS_RUNS_MAX + 1 })) {
      for (const row of rows) ended.push(endedOf(row));
    }
    const sampled = ended.length > STATS_RUNS_MAX;
    if (sampled) ended.pop();
    const since_at = sampled ? (ended.at(-1)?.at ?? since) : since;
    const period = { at, ms: Math.max(1, Math.min(STATS_RATE_MS, at - since_at)) };
    const of = (lane: string) =>
      figuresOf(
        ended.filter((each) => each.lane === lane),
        period,
      );
    return { sampled, since_at, all: figuresOf(ended, period), interactive: of("interactive"), batch: of("batch") };
  }

  async #live(tenant: string, at: number): Promise<Pick<Figures, "running" | "waiting">> {
    const none = () => ({ count: 0, oldest_ms: 0 });
    const waiting = { interactive: none(), batch: none(), approval: none() };
    let running = 0;
    for await (const rows of scanLive(this.#d.storage, tenant)) {
      for (const row of rows) {
        const runs = whole(row["runs"]);
        const place = placeOf(row);
        if (place === "running") running += runs;
        else {
          const held = waiting[place];
          held.count += runs;
          // Clocks of several nodes differ a little.
          held.oldest_ms = Math.max(held.oldest_ms, at - whole(row["since"]), 0);
        }
      }
    }
    return { running, waiting };
  }

  async #denials(tenant: string, since: number): Promise<Figures["denials"]> {
    const counts = new Map<string, Denial>();
    let read = 0;
    for await (const rows of scanRefused(this.#d.storage, { tenant, since, limit: STATS_REFUSALS_MAX + 1 })) {
      for (const row of rows) {
        read += 1;
        if (read > STATS_REFUSALS_MAX) break;
        for (const { what, code, count } of refusalsOf(row)) {
          const key = `${what} ${code}`;
          counts.set(key, { what, code, count: count + (counts.get(key)?.count ?? 0) });
        }
      }
    }
    const items = [...counts.values()].sort((a, b) => b.count - a.count || (String(a.code) < String(b.code) ? -1 : 1));
    return { sampled: read > STATS_REFUSALS_MAX, items };
  }

  async #machine(): Promise<MachineFigures> {
    const { jail, booting, primed, idle, active, waiting, boot_failures } = this.#d.pool.stats();
    const runners = { jail, booting, warm: primed, bound: idle, busy: active, waiting, boot_failures };
    const [ledger, witnesses] = await Promise.all([this.#d.ledger(), this.#d.witnesses()]);
    return { slots: this.#d.slots(), runners, ledger, witnesses };
  }
}

function figuresOf(runs: readonly Ended[], period: { at: number; ms: number }): LaneFigures {
  const by_termination: Record<string, number> = {};
  for (const { termination } of runs) by_termination[termination] = (by_termination[termination] ?? 0) + 1;
  const executed = runs.filter(({ startup_us }) => startup_us !== null);
  const values = (name: "startup_us" | "completion_us" | "queued_us") =>
    executed.flatMap((run) => (run[name] === null ? [] : [run[name]]));
  const recent = runs.filter(({ at }) => at > period.at - period.ms).length;
  return {
    ended: runs.length,
    ended_per_s: (recent * 1_000) / period.ms,
    by_termination,
    executed: executed.length,
    startup: spreadOf(values("startup_us")),
    completion: spreadOf(values("completion_us")),
    queued: spreadOf(values("queued_us")),
  };
}

function endedOf(row: Row): Ended {
  const admitted_at = row["admitted_at"];
  const from = row["queued_at"] ?? row["created_at"];
  const queued_us = typeof admitted_at === "number" ? Math.max(0, admitted_at - whole(from)) * 1_000 : null;
  return {
    at: whole(row["ended_at"]),
    lane: String(row["lane"]),
    termination: String(row["termination"]),
    startup_us: wholeOrNull(row["startup_us"]),
    completion_us: wholeOrNull(row["completion_us"]),
    queued_us,
  };
}

function placeOf({ state, lane }: Row): "running" | "interactive" | "batch" | "approval" {
  if (state === "waiting_approval") return "approval";
  if (state === "starting") return "running";
  return lane === "batch" ? "batch" : "interactive";
}

/** A run that was denied, by the code of its error; and the calls of a run that were refused, each by its own. */
function refusalsOf({ termination, error, blocked, egress }: Row): Denial[] {
  const found: Denial[] = [];
  if (termination === "denied") {
    const { code } = parsed<{ code?: string }>(error) ?? {};
    found.push({ what: "run", code: code ?? null, count: 1 });
  }
  // A door tells of what had no door, too; without one, that is all there is.
  const calls = parsed<{ verdict?: string; code?: string | null; count: number }[]>(egress ?? blocked) ?? [];
  for (const { verdict, code, count } of calls) {
    if (verdict !== "allowed") found.push({ what: "call", code: code ?? null, count });
  }
  return found;
}

/** Our own JSON. */
function parsed<T>(text: Value | undefined): T | undefined {
  return typeof text === "string" ? (JSON.parse(text) as T) : undefined;
}

function whole(value: Value | undefined): number {
  assert(typeof value === "number", "what is counted is a number");
  return value;
}

function wholeOrNull(value: Value | undefined): number | null {
  return typeof value === "number" ? value : null;
}
