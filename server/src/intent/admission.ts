import { assert } from "../kernel/assert.ts";
import type { Clock } from "../kernel/clock.ts";
import type { ErrorKind } from "../kernel/errors.ts";
import {
  LANE_INTERACTIVE,
  LANE_SLOTS,
  type Lane,
  QUEUE_BATCH_MAX,
  QUEUE_INTERACTIVE_MAX,
  QUEUE_NODE_MAX,
  RETRY_AFTER_MS_MAX,
  RETRY_AFTER_MS_MIN,
  run_errors,
  TENANT_CONCURRENCY_MAX,
} from "./contract.ts";
import { Costs, Drain } from "./load.ts";

/** A run that wants a slot. Its identity is the object. */
export interface Ticket {
  readonly run: string;
  readonly tenant: string;
  /** `downgrade` may change it while the ticket is placed. */
  lane: Lane;
  readonly memory_mb: number;
}

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

type Queues = Record<Lane, Map<string, Ticket[]>>;

const QUEUE_MAX = { interactive: QUEUE_INTERACTIVE_MAX, batch: QUEUE_BATCH_MAX } as const;

/**
 * Who gets a slot, and when. Synchronous and without I/O; time comes from the clock.
 * Each lane serves its tenants in turn, each tenant's runs in order. A tenant at its own cap is passed over and keeps
 * its turn; a run that memory does not fit yet is not passed over, or large runs would wait for ever.
 */
export class Admission {
  readonly #clock: Clock;
  readonly #capacity: Capacity;
  readonly #start: (ticket: Ticket) => void;
  readonly #active = new Map<Ticket, number>();
  readonly #active_of = new Map<string, number>();
  /** Tenants in the order of their turns. */
  readonly #queues: Queues = { interactive: new Map(), batch: new Map() };
  readonly #costs = new Costs();
  readonly #drain: Drain;
  #memory_mb = 0;
  #turn = 0;
  #closed = false;

  /** @param start  called once for each ticket that waited, when it has its slot. */
  constructor(clock: Clock, capacity: Capacity, start: (ticket: Ticket) => void) {
    assert(capacity.slots > 0 && capacity.memory_mb > 0, "a node has at least one slot and some memory");
    this.#clock = clock;
    this.#capacity = capacity;
    this.#start = start;
    this.#drain = new Drain(clock);
  }

  get active(): number {
    return this.#active.size;
  }

  waiting(lane: Lane): number {
    let sum = 0;
    for (const queue of this.#queues[lane].values()) sum += queue.length;
    return sum;
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
    if (on_busy === "reject") return this.#refusal(ticket);
    const downgraded = on_busy === "downgrade" && ticket.lane === "interactive";
    const lane = downgraded ? "batch" : ticket.lane;
    const own = this.#queues[lane].get(ticket.tenant)?.length ?? 0;
    if (own >= QUEUE_MAX[lane]) {
      const detail = `The tenant has ${own} runs waiting in the ${lane} lane.`;
      return { kind: "refuse", error: run_errors.CONCURRENCY, detail, retry_after_ms: this.#retryAfter(ticket, lane) };
    }
    if (this.waiting("interactive") + this.waiting("batch") >= QUEUE_NODE_MAX) return this.#refusal(ticket);
    ticket.lane = lane;
    this.#enqueue(ticket);
    return { kind: "wait", downgraded };
  }

  /** Takes a ticket that was promised a place before: bounds do not apply. Starts it if there is room. */
  restore(ticket: Ticket): void {
    this.#enqueue(ticket);
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
    const slot_ms = this.#clock.monotonic() - since;
    this.#costs.settle(ticket.tenant, slot_ms);
    this.#drain.add(slot_ms);
    this.#dispatch();
  }

  /** Takes a waiting ticket out. @returns whether it was waiting. */
  withdraw(ticket: Ticket): boolean {
    const queue = this.#queues[ticket.lane].get(ticket.tenant);
    const index = queue?.indexOf(ticket) ?? -1;
    if (queue === undefined || index < 0) return false;
    queue.splice(index, 1);
    if (queue.length === 0) this.#queues[ticket.lane].delete(ticket.tenant);
    this.#dispatch(); // the head may have been what memory did not fit
    return true;
  }

  /** Where a waiting ticket stands, counting from 1, and a guess of the wait; undefined when it does not wait. */
  positionOf(ticket: Ticket): { position: number; estimated_start_ms: number } | undefined {
    const own = this.#queues[ticket.lane].get(ticket.tenant)?.indexOf(ticket) ?? -1;
    if (own < 0) return undefined;
    let position = 1;
    let ahead_ms = 0;
    for (const [tenant, queue] of this.#queues[ticket.lane]) {
      const before = tenant === ticket.tenant ? own : Math.min(queue.length, own + 1);
      position += before;
      ahead_ms += before * this.#costs.of(tenant);
    }
    return { position, estimated_start_ms: Math.round(ahead_ms / this.#rate()) };
  }

  /** No ticket starts from now on; what waits keeps its place. */
  close(): void {
    this.#closed = true;
  }

  #enqueue(ticket: Ticket): void {
    const queue = this.#queues[ticket.lane].get(ticket.tenant);
    if (queue === undefined) this.#queues[ticket.lane].set(ticket.tenant, [ticket]);
    else queue.push(ticket);
  }

  #mayStart(ticket: Ticket): boolean {
    if (this.#active.size >= this.#capacity.slots || !this.#underCap(ticket.tenant)) return false;
    if (this.#memory_mb + ticket.memory_mb > this.#capacity.memory_mb) return false;
    return this.#next("interactive") === undefined && this.#next("batch") === undefined;
  }

  #underCap(tenant: string): boolean {
    return (this.#active_of.get(tenant) ?? 0) < TENANT_CONCURRENCY_MAX;
  }

  /** The ticket whose turn it is in a lane, whether or not it fits. */
  #next(lane: Lane): Ticket | undefined {
    for (const [tenant, queue] of this.#queues[lane]) if (this.#underCap(tenant)) return queue[0];
    return undefined;
  }

  #dispatch(): void {
    while (!this.#closed && this.#active.size < this.#capacity.slots) {
      const interactive = this.#next("interactive");
      const batch = this.#next("batch");
      const both = interactive !== undefined && batch !== undefined;
      const ticket = both && this.#turn >= LANE_INTERACTIVE ? batch : (interactive ?? batch);
      if (ticket === undefined || this.#memory_mb + ticket.memory_mb > this.#capacity.memory_mb) return;
      if (both) this.#turn = (this.#turn + 1) % LANE_SLOTS;
      this.#dequeue(ticket);
      this.#occupy(ticket);
      this.#start(ticket);
    }
  }

  /** Takes the head of a tenant's queue and puts the tenant behind the others. */
  #dequeue(ticket: Ticket): void {
    const lane = this.#queues[ticket.lane];
    const queue = lane.get(ticket.tenant);
    assert(queue?.[0] === ticket, "only the head of a queue starts");
    queue.shift();
    lane.delete(ticket.tenant);
    if (queue.length > 0) lane.set(ticket.tenant, queue);
  }

  #occupy(ticket: Ticket): void {
    this.#active.set(ticket, this.#clock.monotonic());
    this.#active_of.set(ticket.tenant, (this.#active_of.get(ticket.tenant) ?? 0) + 1);
    this.#memory_mb += ticket.memory_mb;
    assert(this.#memory_mb <= this.#capacity.memory_mb, "runs share at most the node's memory");
    assert(this.#active.size <= this.#capacity.slots, "runs share at most the node's slots");
  }

  #refusal(ticket: Ticket): Placement {
    const retry_after_ms = this.#retryAfter(ticket, ticket.lane);
    if (!this.#underCap(ticket.tenant)) {
      const detail = `The tenant has ${TENANT_CONCURRENCY_MAX} runs at once, as many as it may have.`;
      return { kind: "refuse", error: run_errors.CONCURRENCY, detail, retry_after_ms };
    }
    const detail = "Every slot of this node is taken.";
    return { kind: "refuse", error: run_errors.CAPACITY, detail, retry_after_ms };
  }

  /** Run time that waits ahead of a new ticket, and the ticket's own, over the rate at which run time drains. */
  #retryAfter(ticket: Ticket, lane: Lane): number {
    let ahead_ms = this.#costs.of(ticket.tenant);
    for (const each of lane === "batch" ? (["interactive", "batch"] as const) : (["interactive"] as const)) {
      for (const [tenant, queue] of this.#queues[each]) ahead_ms += queue.length * this.#costs.of(tenant);
    }
    return Math.round(Math.min(RETRY_AFTER_MS_MAX, Math.max(RETRY_AFTER_MS_MIN, ahead_ms / this.#rate())));
  }

  /** Run-ms that end per ms; while nothing has ended lately, one for each slot in use. */
  #rate(): number {
    return this.#drain.rate() || Math.max(1, this.#active.size);
  }
}
