import type { Duplex } from "node:stream";
import type { Clock } from "../../kernel/clock.ts";
import { GantryError } from "../../kernel/errors.ts";
import { EGRESS_IDLE_MS_MAX, egress_errors } from "../contract.ts";

/**
 * How a relay ended. `closed`: both sides said all that they had to say. `broken`: the connection of one side is gone
 * before that. `stopped`: by `stop`, or by what `pass` threw.
 */
export type RelayEnd =
  | { kind: "closed" }
  | { kind: "broken"; by: "guest" | "upstream" }
  | { kind: "stopped"; reason: unknown };

/** One direction. */
export interface Way {
  /**
   * Sees every byte before it goes on. @returns what goes on now, which may be less, more or nothing.
   * @throws what stops the relay.
   */
  pass(chunk: Buffer): Buffer;
  /** The sender has said all. @returns what is left to go on. @throws what stops the relay. */
  end(): Buffer;
}

interface RelayParts {
  clock: Clock;
  guest: Duplex;
  upstream: Duplex;
  /** From the guest. */
  outward: Way;
  /** To the guest. */
  inward: Way;
}

/** One direction's state: `stalled_at` is since when the receiver does not take what there is. */
interface Flow {
  from: Duplex;
  to: Duplex;
  way: Way;
  by: "guest" | "upstream";
  moved_at: number;
  stalled_at: number | undefined;
  ended: boolean;
}

/**
 * Carries bytes between two connections until both sides have ended, each side's end separately, and only as fast as the
 * receiver takes them. Stopped with EGRESS_TIME after `EGRESS_IDLE_MS_MAX` in which no byte moved in either direction, or
 * in which one direction's receiver took nothing of what was there for it: a download is no idle upload. It destroys
 * nothing by itself: whoever made it does, when it has ended. Both connections must have listeners for their errors.
 */
export class Relay {
  readonly ended: Promise<RelayEnd>;
  readonly #parts: RelayParts;
  readonly #flows: [Flow, Flow];
  #resolve: (end: RelayEnd) => void = () => {};
  readonly #undo: (() => void)[] = [];
  #cancel = () => {};
  #is_over = false;

  constructor(parts: RelayParts) {
    this.#parts = parts;
    const { guest, upstream, outward, inward, clock } = parts;
    const start = { moved_at: clock.monotonic(), stalled_at: undefined, ended: false };
    this.#flows = [
      { from: guest, to: upstream, way: outward, by: "guest", ...start },
      { from: upstream, to: guest, way: inward, by: "upstream", ...start },
    ];
    this.ended = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** @param early  what the guest, and the other side, sent before. */
  start(early: { guest: Buffer; upstream: Buffer }): void {
    this.#watchIdle(EGRESS_IDLE_MS_MAX);
    for (const flow of this.#flows) {
      this.#listen(flow.from, "close", () => this.#closed(flow));
      this.#listen(flow.to, "drain", () => this.#drained(flow));
    }
    for (const flow of this.#flows) {
      this.#carry(flow, early[flow.by]);
      if (this.#is_over) return;
      this.#listen(flow.from, "data", (chunk) => this.#carry(flow, chunk as Buffer));
      this.#listen(flow.from, "end", () => this.#end(flow));
      if (flow.stalled_at !== undefined) flow.from.pause();
      else flow.from.resume();
      // What ended or closed before this listened will not say so again.
      if (flow.from.readableEnded) this.#end(flow);
      else if (flow.from.destroyed) this.#closed(flow);
    }
  }

  stop(reason: unknown): void {
    this.#finish({ kind: "stopped", reason });
  }

  /** More for one side that did not come from the other: at a message's boundary, or the bytes that were held. */
  push(to: "guest" | "upstream", bytes: Buffer): void {
    const flow = this.#flows[to === "upstream" ? 0 : 1];
    if (!this.#is_over) this.#write(flow, bytes);
  }

  #listen(on: Duplex, event: string, listener: (value?: unknown) => void): void {
    on.on(event, listener);
    this.#undo.push(() => on.off(event, listener));
  }

  #carry(flow: Flow, chunk: Buffer): void {
    if (this.#is_over || chunk.length === 0) return;
    flow.moved_at = this.#parts.clock.monotonic();
    try {
      this.#write(flow, flow.way.pass(chunk));
    } catch (error) {
      this.stop(error);
    }
  }

  #write(flow: Flow, bytes: Buffer): void {
    if (bytes.length === 0 || flow.to.destroyed || flow.to.writableEnded || flow.to.write(bytes)) return;
    flow.from.pause();
    flow.stalled_at ??= this.#parts.clock.monotonic();
  }

  #drained(flow: Flow): void {
    flow.stalled_at = undefined;
    flow.moved_at = this.#parts.clock.monotonic();
    if (!flow.ended) flow.from.resume();
  }

  #end(flow: Flow): void {
    if (this.#is_over || flow.ended) return;
    flow.ended = true;
    try {
      this.#write(flow, flow.way.end());
    } catch (error) {
      this.stop(error);
      return;
    }
    // Ended means that the other side has been given everything, which a slow one takes a while for.
    flow.to.end(() => this.#settle());
  }

  /** A connection that has said all and was given all may close; what goes on to the other side goes on. */
  #closed(flow: Flow): void {
    if (this.#is_over) return;
    if (flow.ended && flow.from.writableFinished) this.#settle();
    else this.#finish({ kind: "broken", by: flow.by });
  }

  #settle(): void {
    if (this.#flows.every(({ ended, to }) => ended && to.writableFinished)) this.#finish({ kind: "closed" });
  }

  #watchIdle(in_ms: number): void {
    this.#cancel = this.#parts.clock.after(Math.ceil(in_ms), () => {
      const now = this.#parts.clock.monotonic();
      const moved_at = Math.max(...this.#flows.map((flow) => flow.moved_at));
      const stalls = this.#flows.flatMap(({ stalled_at }) => stalled_at ?? []);
      const left = Math.min(moved_at, ...stalls) + EGRESS_IDLE_MS_MAX - now;
      if (left > 0) return this.#watchIdle(left);
      const what = stalls.length > 0 ? "took nothing of what was there for it" : "sent anything";
      const who = stalls.length > 0 ? "One side" : "Neither side";
      const detail = `${who} ${what} for ${EGRESS_IDLE_MS_MAX} ms; keep the connection alive, or open another.`;
      this.stop(new GantryError(egress_errors.TIME, { detail }));
    });
  }

  #finish(end: RelayEnd): void {
    if (this.#is_over) return;
    this.#is_over = true;
    this.#cancel();
    for (const undo of this.#undo) undo();
    this.#resolve(end);
  }
}
