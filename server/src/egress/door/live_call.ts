import type { Duplex } from "node:stream";
import { GantryError } from "../../kernel/errors.ts";
import { EGRESS_REQUEST_BYTES_MAX, EGRESS_RESPONSE_BYTES_MAX, egress_errors } from "../contract.ts";
import type { AskedCall } from "../destination/rules.ts";
import type { Admitted, Pinned } from "../parts.ts";
import { runEnded } from "./faults.ts";
import type { LogLine } from "./summary.ts";

/** What a call under way needs of its door. */
export interface CallHost {
  /** @throws EGRESS_BUDGET */
  countBytes(bytes: number): void;
  /** Something of what the rule's destination holds has come in. */
  read(pinned: Pinned): void;
  ended(call: LiveCall, code: string | null, status: number | undefined): void;
}

/** A call that was let out, until its end. */
export class LiveCall implements Admitted {
  readonly pinned: Pinned;
  /** What was asked for, as it was judged. */
  readonly judged: AskedCall;
  /** On the monotonic clock. */
  readonly began: number;
  /** The lease that it carries. */
  lease: string | undefined;
  request_bytes = 0;
  response_bytes = 0;
  /** For its line in the log. */
  readonly noted: Partial<LogLine> = {};
  readonly #host: CallHost;
  readonly #abort = new AbortController();
  readonly #request_bytes_max: number;
  readonly #response_bytes_max: number;
  #sockets: Set<Duplex> | undefined;
  #has_read = false;
  #over = false;
  /** Ends what watches its time. */
  release: (() => void) | undefined;

  constructor(host: CallHost, pinned: Pinned, judged: AskedCall, began: number) {
    this.#host = host;
    this.judged = judged;
    this.pinned = pinned;
    this.began = began;
    this.#request_bytes_max = pinned.rule.request_bytes_max ?? EGRESS_REQUEST_BYTES_MAX;
    this.#response_bytes_max = pinned.rule.response_bytes_max ?? EGRESS_RESPONSE_BYTES_MAX;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Why it was broken off; undefined: it was not. */
  get stopped(): GantryError | undefined {
    return this.signal.aborted ? (this.signal.reason as GantryError) : undefined;
  }

  add(socket: Duplex): void {
    if (this.#over || this.signal.aborted) {
      socket.destroy();
      return;
    }
    this.#sockets ??= new Set();
    const sockets = this.#sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  }

  sent(bytes: number): void {
    this.request_bytes += bytes;
    if (this.request_bytes > this.#request_bytes_max)
      throw this.#stop(this.#tooLong("request", this.#request_bytes_max));
    this.#count(bytes);
  }

  received(bytes: number): void {
    if (!this.#has_read) {
      this.#has_read = true;
      this.#host.read(this.pinned);
    }
    this.response_bytes += bytes;
    if (this.response_bytes > this.#response_bytes_max) {
      throw this.#stop(this.#tooLong("response", this.#response_bytes_max));
    }
    this.#count(bytes);
  }

  /** Refuses a body whose length is told before it comes. @throws EGRESS_SIZE */
  demandSize(request_bytes: number): void {
    if (request_bytes > this.#request_bytes_max) throw this.#tooLong("request", this.#request_bytes_max);
  }

  /** Breaks it off: whatever goes on for it fails with `reason`, and its connections are destroyed. */
  stop(reason: GantryError): void {
    if (this.#over || this.signal.aborted) return;
    this.#abort.abort(reason);
    for (const socket of this.#sockets ?? []) socket.destroy();
  }

  end(code: string | null, status?: number): void {
    if (this.#over) return;
    if (code !== null) this.stop(runEnded());
    this.#over = true;
    this.release?.();
    this.#host.ended(this, code, status);
  }

  #count(bytes: number): void {
    try {
      this.#host.countBytes(bytes);
    } catch (error) {
      throw this.#stop(error as GantryError);
    }
  }

  #stop(reason: GantryError): GantryError {
    this.stop(reason);
    return reason;
  }

  #tooLong(what: "request" | "response", bytes_max: number): GantryError {
    const { rule, rule_id, target } = this.pinned;
    const own =
      rule[`${what}_bytes_max`] === undefined ? "the most there may be" : `${what}_bytes_max of rule ${rule_id}`;
    const whose = what === "request" ? `The body of the call to ${target.host}` : `The answer of ${target.host}`;
    return new GantryError(egress_errors.SIZE, {
      detail: `${whose} has more than ${bytes_max} bytes, which is ${own}.`,
    });
  }
}
