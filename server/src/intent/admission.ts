import { assert } from "../kernel/assert.ts";
import type { Clock } from "../kernel/clock.ts";
import type { ErrorKind } from "../kernel/errors.ts";
import {
  LANE_INTERACTIVE,
  LANE_SLOTS,
  LANES,
  type Lane,
  QUEUE_BATCH_MAX,
  QUEUE_INTERACTIVE_MAX,
  QUEUE_NODE_BATCH_MAX,
  QUEUE_NODE_MAX,
  RETRY_AFTER_MS_MAX,
  RETRY_AFTER_MS_MIN,
  run_errors,
  TENANT_CONCURRENCY_MAX,
} from "./contract.ts";
import { Costs } from "./costs.ts";
import { Fairness } from "./fairness.ts";
import { Drain, leftOf, waitBehind } from "./load.ts";
import { RoundRobin, type Ticket } from "./round_robin.ts";

export type { Ticket } from "./round_robin.ts";

/** What one node gives to runs. */
export interface Capacity {
  slots: number;
  /** Sum of the runs' memory classes. */
  memory_mb: number;
}

export type Placement =
  | { kind: "start" }
  | { kind: "wait"; downgraded: boolean }
  | { kind: "refuse"; error: ErrorKind; detail: string; retry_after_ms: number };

const QUEUE_MAX = { interactive: QUEUE_INTERACTIVE_MAX, batch: QUEUE_BATCH_MAX } as const;
/** Slots that the other lane is given for each of this one's, while both wait. */
const OTHER_LANE = {
  interactive: (LANE_SLOTS - LANE_INTERACTIVE) / LANE_INTERACTIVE,
  batch: LANE_INTERACTIVE / (LANE_SLOTS - LANE_INTERACTIVE),
} as const;

/** What waits before somebody. */
interface Ahead {
  count: number;
  run_ms: number;
}

/**
 * Who gets a slot, and when. Synchronous and without I/O; time comes from the clock.
 * Each lane shares run time evenly among the tenants that wait, each tenant's runs in order. A tenant at its own cap is
 * passed over and keeps its turn; a run that memory does not fit yet is not passed over, or large runs would wait for
 * ever. Nothing that happens for each run walks over what waits; only a refusal and a question for a place do.
 */
export class Admission {
  readonly #clock: Clock;
  readonly #capacity: Capacity;
  readonly #start: (ticket: Ticket) => void;
  readonly #active = new Map<Ticket, number>();
  readonly #active_of = new Map<string, number>();
  readonly #costs = new Costs();
  readonly #lanes: Record<Lane, RoundRobin>;
  readonly #drain: Drain;
  readonly #fairness: Fairness;
  #memory_mb = 0;
  #turn = 0;
  /** Nodes that share each tenant's budget. */
  #nodes = 1;
  #closed = false;

  /** @param start  called once for each ticket that waited, when it has its slot. */
  constructor(clock: Clock, capacity: Capacity, start: (ticket: Ticket) => void) {
    assert(capacity.slots > 0 && capacity.memory_mb > 0, "a node has at least one slot and some memory");
    this.#clock = clock;
    this.#capacity = capacity;
    this.#start = start;
    this.#drain = new Drain(clock);
    this.#fairness = new Fairness(clock.monotonic());
    const may = (tenant: string) => this.#underCap(tenant);
    this.#lanes = { interactive: new RoundRobin(this.#costs, may), batch: new RoundRobin(this.#costs, may) };
  }

  get active(): number {
    return this.#active.size;
  }

  waiting(lane: Lane): number {
    return this.#lanes[lane].size;
  }

  /** Gives the ticket a slot, a place in a queue, or the reason why neither. */
  place(ticket: Ticket, on_busy: "reject" | "delay" | "downgrade"): Placement {
    if (ticket.memory_mb > this.#capacity.memory_mb) {
      const detail = `This node gives ${this.#capacity.memory_mb} MB to all runs together.`;
      return { kind: "refuse", error: run_errors.CAPACITY, detail, retry_after_ms: RETRY_AFTER_MS_MAX };
    }
    if (!this.#closed && this.#mayStart(ticket)) {
      this.#occupy(ticket);
      return { kind: "start" };
    }
    if (on_busy === "reject") return this.#refusal(ticket, this.#waitOfAll(ticket.tenant));
    const downgraded = on_busy === "downgrade" && ticket.lane === "interactive";
    const lane = downgraded ? "batch" : ticket.lane;
    const own = this.#lanes[lane].sizeOf(ticket.tenant);
    if (own >= this.#share(QUEUE_MAX[lane])) {
      const detail = `The tenant has ${own} runs waiting in the ${lane} lane.`;
      const retry_after_ms = clamped(this.#waitOfNew(ticket, lane));
      return { kind: "refuse", error: run_errors.CONCURRENCY, detail, retry_after_ms };
    }
    const waiting = this.waiting("interactive") + this.waiting("batch");
    const is_batch_full = lane === "batch" && this.waiting("batch") >= QUEUE_NODE_BATCH_MAX;
    if (waiting >= QUEUE_NODE_MAX || is_batch_full) {
      const detail = `${waiting} runs wait for a slot of this node.`;
      const retry_after_ms = clamped(this.#waitOfNew(ticket, lane));
      return { kind: "refuse", error: run_errors.CAPACITY, detail, retry_after_ms };
    }
    ticket.lane = lane;
    this.#lanes[lane].push(ticket);
    this.#tellDrain();
    return { kind: "wait", downgraded };
  }

  /** Takes a ticket that was promised a place before: bounds do not apply. Starts it if there is room. */
  restore(ticket: Ticket): void {
    this.#lanes[ticket.lane].push(ticket);
    this.#dispatch();
  }

  /** Frees the ticket's slot. */
  end(ticket: Ticket): void {
    const since = this.#active.get(ticket);
    if (since === undefined) return;
    this.#active.delete(ticket);
    this.#memory_mb -= ticket.memory_mb;
    const left = (this.#active_of.get(ticket.tenant) ?? 0) - 1;
    assert(left >= 0, "a tenant's active runs are counted once");
    if (left === 0) this.#active_of.delete(ticket.tenant);
    else this.#active_of.set(ticket.tenant, left);
    const now = this.#clock.monotonic();
    const slot_ms = now - since;
    this.#costs.settle(ticket, slot_ms);
    this.#lanes[ticket.lane].settle(ticket, slot_ms);
    for (const lane of LANES) this.#lanes[lane].learned(ticket.tenant);
    this.#fairness.ended({ lane: ticket.lane, tenant: ticket.tenant, since }, now);
    this.#refresh(ticket.tenant);
    this.#dispatch();
  }

  /** Takes a waiting ticket out. @returns whether it was waiting. */
  withdraw(ticket: Ticket): boolean {
    if (!this.#lanes[ticket.lane].remove(ticket)) return false;
    this.#dispatch(); // the head may have been what memory did not fit
    return true;
  }

  /** Where a waiting ticket stands, counting from 1, and a guess of the wait; undefined when it does not wait. */
  positionOf(ticket: Ticket): { position: number; estimated_start_ms: number } | undefined {
    const { tenant, lane } = ticket;
    const own = this.#lanes[lane].before(ticket);
    if (own === undefined) return undefined;
    let position = own.count + 1;
    for (const other of this.#lanes[lane].backlogs()) {
      if (other.tenant !== tenant) position += Math.min(other.count, own.count + 1);
    }
    const wait_ms = this.#waitBehind(tenant, lane, own, this.#costs.of(ticket));
    return { position, estimated_start_ms: Math.round(wait_ms) };
  }

  /** So many nodes serve now: each gives a tenant its part of what the tenant may have. */
  shareWith(nodes: number): void {
    const before = this.#nodes;
    this.#nodes = Math.max(1, nodes);
    if (this.#nodes === before) return;
    for (const lane of LANES) this.#lanes[lane].refreshAll();
    this.#dispatch();
  }

  /** Ends a period of `fairness.ts`. @returns by lane, where at least two tenants waited throughout. */
  fairness(): Record<Lane, number | undefined> {
    const holding = [...this.#active].map(([{ lane, tenant }, since]) => ({ lane, tenant, since }));
    const waiting = (lane: Lane) => new Set([...this.#lanes[lane].backlogs()].map(({ tenant }) => tenant));
    const tenants = { interactive: waiting("interactive"), batch: waiting("batch") };
    return this.#fairness.close(this.#clock.monotonic(), holding, tenants);
  }

  /** No ticket starts from now on; what waits keeps its place. */
  close(): void {
    this.#closed = true;
  }

  #mayStart(ticket: Ticket): boolean {
    if (this.#active.size >= this.#capacity.slots || !this.#underCap(ticket.tenant)) return false;
    if (this.#memory_mb + ticket.memory_mb > this.#capacity.memory_mb) return false;
    return LANES.every((lane) => this.#lanes[lane].next === undefined);
  }

  /** A tenant's budget on this node. */
  #share(budget: number): number {
    return Math.max(1, Math.floor(budget / this.#nodes));
  }

  #underCap(tenant: string): boolean {
    return (this.#active_of.get(tenant) ?? 0) < this.#share(TENANT_CONCURRENCY_MAX);
  }

  #refresh(tenant: string): void {
    for (const lane of LANES) this.#lanes[lane].refresh(tenant);
  }

  #dispatch(): void {
    while (!this.#closed && this.#active.size < this.#capacity.slots) {
      const interactive = this.#lanes.interactive.next;
      const batch = this.#lanes.batch.next;
      const both = interactive !== undefined && batch !== undefined;
      const ticket = both && this.#turn >= LANE_INTERACTIVE ? batch : (interactive ?? batch);
      if (ticket === undefined || this.#memory_mb + ticket.memory_mb > this.#capacity.memory_mb) break;
      if (both) this.#turn = (this.#turn + 1) % LANE_SLOTS;
      const taken = this.#lanes[ticket.lane].take();
      assert(taken === ticket, "whose turn it is starts");
      this.#occupy(ticket);
      this.#start(ticket);
    }
    this.#tellDrain();
  }

  #occupy(ticket: Ticket): void {
    this.#active.set(ticket, this.#clock.monotonic());
    this.#active_of.set(ticket.tenant, (this.#active_of.get(ticket.tenant) ?? 0) + 1);
    this.#memory_mb += ticket.memory_mb;
    assert(this.#memory_mb <= this.#capacity.memory_mb, "runs share at most the node's memory");
    assert(this.#active.size <= this.#capacity.slots, "runs share at most the node's slots");
    this.#refresh(ticket.tenant);
    this.#tellDrain();
  }

  #tellDrain(): void {
    this.#drain.tell(this.#active.size, this.#lanes.interactive.size + this.#lanes.batch.size > 0);
  }

  #refusal(ticket: Ticket, wait_ms: number): Placement {
    const retry_after_ms = clamped(wait_ms);
    if (!this.#underCap(ticket.tenant)) {
      const at_once = this.#share(TENANT_CONCURRENCY_MAX);
      const here = this.#nodes === 1 ? "" : ` on each of ${this.#nodes} nodes`;
      const detail = `The tenant has ${at_once} runs at once, as many as it may have${here}.`;
      return { kind: "refuse", error: run_errors.CONCURRENCY, detail, retry_after_ms };
    }
    const detail = "Every slot of this node is taken.";
    return { kind: "refuse", error: run_errors.CAPACITY, detail, retry_after_ms };
  }

  /** Until a new ticket at the end of its tenant's line would start. */
  #waitOfNew(ticket: Ticket, lane: Lane): number {
    return this.#waitBehind(ticket.tenant, lane, this.#lanes[lane].backlogOf(ticket.tenant), this.#costs.of(ticket));
  }

  /** Until a slot is free that nobody waits for: what will not wait is let past nobody. */
  #waitOfAll(tenant: string): number {
    const all: Ahead = { count: 0, run_ms: 0 };
    const own: Ahead = { count: 0, run_ms: 0 };
    for (const lane of LANES) {
      add(all, this.#totalOf(lane));
      add(own, this.#lanes[lane].backlogOf(tenant));
    }
    return this.#drained(tenant, all.run_ms, own.run_ms);
  }

  #totalOf(lane: Lane): Ahead {
    const total: Ahead = { count: 0, run_ms: 0 };
    for (const each of this.#lanes[lane].backlogs()) add(total, each);
    return total;
  }

  /** Until a ticket of this cost starts that stands behind `own` of its tenant: others have their shares meanwhile. */
  #waitBehind(tenant: string, lane: Lane, own: Ahead, cost_ms: number): number {
    const ahead: Ahead = { count: own.count, run_ms: own.run_ms };
    for (const other of this.#lanes[lane].backlogs()) {
      if (other.tenant === tenant) continue;
      const run_ms = Math.min(other.run_ms, own.run_ms + cost_ms);
      add(ahead, { count: (other.count * run_ms) / other.run_ms, run_ms });
    }
    const other = this.#totalOf(lane === "batch" ? "interactive" : "batch");
    const slots = Math.min(other.count, ahead.count * OTHER_LANE[lane]);
    if (slots > 0) ahead.run_ms += (slots / other.count) * other.run_ms;
    return this.#drained(tenant, ahead.run_ms, own.run_ms);
  }

  /** Until so much run time has drained on the node, and so much of the tenant's own within its cap. */
  #drained(tenant: string, ahead_ms: number, own_ms: number): number {
    const now = this.#clock.monotonic();
    const left = (of: (ticket: Ticket) => boolean) =>
      [...this.#active]
        .filter(([ticket]) => of(ticket))
        .map(([ticket, since]) => leftOf(this.#costs.of(ticket), now - since));
    const pace = (this.#drain.rate() || this.#active.size) / Math.max(1, this.#active.size);
    const is_full = this.#active.size >= this.#capacity.slots || ahead_ms > 0;
    const node_ms = is_full
      ? waitBehind(
          ahead_ms,
          left(() => true),
          pace || 1,
        )
      : 0;
    const own_wait_ms = this.#underCap(tenant)
      ? 0
      : waitBehind(
          own_ms,
          left((t) => t.tenant === tenant),
          1,
        );
    return Math.max(node_ms, own_wait_ms, own_ms / this.#share(TENANT_CONCURRENCY_MAX));
  }
}

function add(to: Ahead, { count, run_ms }: Ahead): void {
  to.count += count;
  to.run_ms += run_ms;
}

/** Whole milliseconds between the bounds of `Retry-After`. */
function clamped(wait_ms: number): number {
  return Math.round(Math.min(RETRY_AFTER_MS_MAX, Math.max(RETRY_AFTER_MS_MIN, wait_ms)));
}
