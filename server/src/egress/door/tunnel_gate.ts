import type { Clock } from "../../kernel/clock.ts";
import { GantryError } from "../../kernel/errors.ts";
import { CLIENT_HELLO_BYTES_MAX, CLIENT_HELLO_MS_MAX, egress_errors } from "../contract.ts";
import { isLiteral } from "../destination/target.ts";
import type { Target } from "../parts.ts";
import { ClientHelloReader, type HelloReading } from "./client_hello.ts";
import type { Way } from "./tunnel_relay.ts";
import { SecondHello } from "./tunnel_retry.ts";

const NOTHING = Buffer.alloc(0);

/**
 * Holds what a guest says first in a tunnel until it is known to be meant for the host that was granted. In a `tls` tunnel
 * that is a ClientHello; in a `tcp` tunnel whatever does not start as TLS passes at once, and what does is held to the same.
 * A host that is an address has no server name (RFC 6066 3), so none is asked for.
 */
export class TunnelGate implements Way {
  readonly #target: Target;
  readonly #reader = new ClientHelloReader();
  readonly #held: Buffer[] = [];
  readonly #clock: Clock;
  readonly #late: (error: GantryError) => void;
  #cancel: (() => void) | undefined;
  #second: SecondHello | undefined;
  #is_open = false;

  /** @param late  is told when the hello takes longer than `CLIENT_HELLO_MS_MAX`; in a `tls` tunnel that begins now. */
  constructor(target: Target, clock: Clock, late: (error: GantryError) => void) {
    this.#target = target;
    this.#clock = clock;
    this.#late = late;
    if (target.protocol === "tls") this.#startClock();
  }

  /** @throws EGRESS_SNI_MISMATCH EGRESS_SNI_HIDDEN */
  pass(chunk: Buffer): Buffer {
    if (this.#is_open) return chunk;
    if (this.#second !== undefined) return this.#opened(this.#second, this.#second.pass(chunk));
    this.#held.push(chunk);
    const reading = this.#reader.push(chunk);
    if (reading.kind === "more") {
      if (reading.began) this.#startClock();
      return NOTHING;
    }
    this.#cancel?.();
    const bytes = Buffer.concat(this.#held.splice(0));
    if (this.#target.protocol === "tcp" && reading.kind === "not_tls" && !reading.began) {
      this.#is_open = true;
      return bytes;
    }
    this.#demand(reading);
    const { wire_bytes } = this.#reader;
    this.#second = new SecondHello((next) => this.#demand(next));
    const rest = this.#second.pass(bytes.subarray(wire_bytes));
    return bytes.subarray(0, wire_bytes + rest.length);
  }

  /** What the other side answers decides whether a second hello may come. @returns what waited for that. */
  answered(chunk: Buffer): Buffer {
    if (this.#is_open || this.#second === undefined) return NOTHING;
    return this.#opened(this.#second, this.#second.answered(chunk));
  }

  /** @throws EGRESS_SNI_MISMATCH  what there was had begun as a hello, and was none. */
  end(): Buffer {
    this.#cancel?.();
    this.#second?.end();
    const held = Buffer.concat(this.#held.splice(0));
    const is_hello = this.#target.protocol === "tls" || held.length > 1;
    if (held.length > 0 && is_hello) throw this.#mismatch("ended before its ClientHello did");
    return held;
  }

  close(): void {
    this.#cancel?.();
  }

  #opened(second: SecondHello, bytes: Buffer): Buffer {
    if (second.is_over) this.#is_open = true;
    return bytes;
  }

  #startClock(): void {
    this.#cancel ??= this.#clock.after(CLIENT_HELLO_MS_MAX, () =>
      this.#late(
        new GantryError(egress_errors.TIME, {
          detail: `No whole ClientHello came through the tunnel to ${this.#target.host} within ${CLIENT_HELLO_MS_MAX} ms.`,
        }),
      ),
    );
  }

  #demand(reading: HelloReading): void {
    if (reading.kind === "too_large")
      throw this.#mismatch(`began with a ClientHello of more than ${CLIENT_HELLO_BYTES_MAX} bytes`);
    if (reading.kind === "not_tls") throw this.#mismatch(`does not begin with a ClientHello: ${reading.why}`);
    if (reading.kind === "more") return;
    const { host } = this.#target;
    if (reading.ech)
      throw new GantryError(egress_errors.SNI_HIDDEN, {
        detail: `The ClientHello in the tunnel to ${host} has an encrypted part; turn encrypted ClientHello off.`,
      });
    if (reading.sni === undefined) {
      if (isLiteral(host)) return;
      throw this.#mismatch("names no server in its ClientHello");
    }
    const name = reading.sni.toLowerCase().replace(/\.$/, "");
    if (name !== host.replace(/^\[|\]$/g, "")) throw this.#mismatch("names another server in its ClientHello");
  }

  #mismatch(what: string): GantryError {
    const { host, protocol } = this.#target;
    const right = `what is granted is TLS with the server name ${host}`;
    const or = protocol === "tcp" ? ", or a protocol that does not start as TLS" : "";
    return new GantryError(egress_errors.SNI_MISMATCH, { detail: `The tunnel to ${host} ${what}; ${right}${or}.` });
  }
}
