import type { Clock } from "../kernel/clock.ts";
import { isGantryError } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import { type Storage, errors as storage_errors } from "../storage/contract.ts";
import { HEARTBEAT_MS, NODE_SILENT_MS } from "./contract.ts";
import { deleteNode, replaceNode, touchNode } from "./node_store.ts";

/** Of the silence that makes a node lost: after this share of it the node itself gives up what it has. */
const FENCE_SHARE = 0.8;
const HEARTBEATS_PER_SILENCE = NODE_SILENT_MS / HEARTBEAT_MS;
/** How often a node that shares looks at its own clock, as a share of the silence. */
const CHECKS_PER_SILENCE = 30;

/** That other nodes may use the same database. */
export interface Sharing {
  /** A node is lost that has not been heard for so long; `NODE_SILENT_MS` unless configured. */
  silent_ms: number;
}

export interface NodeDeps {
  storage: Storage;
  clock: Clock;
  log: Logger;
  /** This machine, and this start of the process. */
  node: { id: string; boot: string };
  /** Absent: this process is alone with its database, and nothing of what it has can be taken. */
  shared?: Sharing | undefined;
}

/** What follows from a node's state. */
export interface NodeEvents {
  /** The node may have lost all that it has: it must be dropped at once. */
  out(): void;
  /** The node has just said that it lives: the moment to look after the others. */
  alive(): void;
}

/**
 * This node among those that share the database. It says that it lives, and no longer counts on what it has when it
 * could not say so for `FENCE_SHARE` of the allowed silence: the others may believe it dead soon after. It goes by the
 * monotonic clock, which goes on while the process is stopped. To come back it takes a new boot, so that whatever it
 * had before is judged by the rows alone, by whoever comes first.
 */
export class Node {
  readonly id: string;
  readonly #d: NodeDeps;
  readonly #first: string;
  #boot: string;
  #boots = 1;
  #out = false;
  /** When the newest mark that arrived was sent; undefined before the start, when nothing is taken for granted. */
  #sent_at: number | undefined;
  #beating = false;
  /** A heartbeat was due while another was under way. */
  #missed = false;
  /** When the heartbeat that is under way was sent. */
  #asked_at: number | undefined;
  #stops: (() => void)[] = [];

  constructor(deps: NodeDeps) {
    this.#d = deps;
    this.id = deps.node.id;
    this.#first = deps.node.boot;
    this.#boot = deps.node.boot;
  }

  /** Another after each time that the node was out. */
  get boot(): string {
    return this.#boot;
  }

  /** What the row of a run says that waits in this node's memory. */
  get holder(): string {
    return holderOf(this);
  }

  get shared(): Sharing | undefined {
    return this.#d.shared;
  }

  get #silent_ms(): number {
    return this.#d.shared?.silent_ms ?? NODE_SILENT_MS;
  }

  /** May this node begin something, and count on what it has? */
  serves(): boolean {
    const { clock, shared } = this.#d;
    if (shared === undefined || this.#sent_at === undefined) return true;
    return !this.#out && clock.monotonic() - this.#sent_at <= shared.silent_ms * FENCE_SHARE;
  }

  /** The mark of this start: what an earlier one had belongs to nobody from now on. */
  async start(): Promise<void> {
    const { storage, clock, node, shared } = this.#d;
    const sent_at = clock.monotonic();
    const mark = { ...node, heartbeat_at: clock.now(), silent_ms: this.#silent_ms };
    await storage.write((tx) => replaceNode(tx, mark, shared === undefined));
    this.#sent_at = sent_at;
  }

  /** Says from now on that this node lives. */
  beat(events: NodeEvents): void {
    const { clock, shared } = this.#d;
    const silent_ms = this.#silent_ms;
    this.#stops.push(clock.every(silent_ms / HEARTBEATS_PER_SILENCE, () => void this.#beat(events)));
    if (shared === undefined) return;
    const check = () => {
      if (!this.#out && !this.serves()) this.#leave(events, "it could not say in time that it lives");
    };
    this.#stops.push(clock.every(silent_ms / CHECKS_PER_SILENCE, check));
  }

  /** Leaves: the others may take what waits here at once. */
  async stop(): Promise<void> {
    for (const stop of this.#stops) stop();
    this.#stops = [];
    if (this.#sent_at === undefined) return;
    const { storage, log } = this.#d;
    await storage
      .write((tx) => deleteNode(tx, { id: this.id, boot: this.#boot }))
      .catch((error: unknown) => log.debug({ error }, "the node's mark stays: the others wait until it is old"));
  }

  async #beat(events: NodeEvents): Promise<void> {
    if (this.#beating) {
      this.#missed = true;
      return;
    }
    this.#beating = true;
    this.#missed = false;
    const { storage, clock, log, shared } = this.#d;
    const sent_at = clock.monotonic();
    this.#asked_at = sent_at;
    try {
      if (this.#out) await this.#comeBack(sent_at);
      else await storage.write((tx) => touchNode(tx, { id: this.id, boot: this.#boot }, clock.now()));
      if (!this.#out) this.#sent_at = sent_at;
      if (this.serves()) events.alive();
    } catch (error) {
      const told = isGantryError(error) && error.code === storage_errors.CONFLICT.code;
      if (told && shared !== undefined) this.#leave(events, "another node has declared it lost");
      else log.warn({ error }, "the node's heartbeat could not be written");
    } finally {
      this.#beating = false;
      this.#asked_at = undefined;
      log.debug({ took_ms: Math.round(clock.monotonic() - sent_at), missed: this.#missed }, "heartbeat");
    }
    // At once, not with the next tick: a store that is slow for one period must not cost two of them.
    if (this.#missed && this.#stops.length > 0) void this.#beat(events);
  }

  #leave(events: NodeEvents, why: string): void {
    if (this.#out) return;
    this.#out = true;
    const now = this.#d.clock.monotonic();
    const silent_ms = Math.round(now - (this.#sent_at ?? now));
    // Undefined: no heartbeat was even tried, so the process itself stood still.
    const waiting_ms = this.#asked_at === undefined ? undefined : Math.round(now - this.#asked_at);
    const fields = { node: this.id, boot: this.#boot, why, silent_ms, waiting_ms };
    this.#d.log.error(fields, "this node gives up the runs that it has");
    events.out();
  }

  async #comeBack(sent_at: number): Promise<void> {
    const { storage, clock, log } = this.#d;
    this.#boots += 1;
    const boot = `${this.#first}.${this.#boots}`;
    const mark = { id: this.id, boot, heartbeat_at: clock.now(), silent_ms: this.#silent_ms };
    await storage.write((tx) => replaceNode(tx, mark, false));
    this.#boot = boot;
    this.#sent_at = sent_at;
    this.#out = false;
    log.warn({ node: this.id, boot }, "this node serves again");
  }
}

/** Names the memory that a queued run waits in. */
export function holderOf(node: { id: string; boot: string }): string {
  return `${node.id}/${node.boot}`;
}

/** Another node, or another request, has changed first what the unit was to change. */
export function isConflict(error: unknown): boolean {
  if (!isGantryError(error)) return false;
  const { code } = storage_errors.CONFLICT;
  return error.code === code || error.parts.reasons?.[0]?.code === code;
}
