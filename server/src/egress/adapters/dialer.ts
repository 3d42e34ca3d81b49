import { readFileSync } from "node:fs";
import { createSecureContext, rootCertificates, type SecureContext } from "node:tls";
import type { Clock } from "../../kernel/clock.ts";
import type { Dialer, Exchange, Exchanged, Target } from "../parts.ts";
import { dial } from "./dial.ts";
import { converse, type Failed } from "./dialer_exchange.ts";
import { KeptLines, Line } from "./dialer_lines.ts";

export interface DialerOptions {
  /** Files of certificates in PEM, of authorities that are believed besides Node's own list. Read at once. */
  ca_files?: readonly string[];
  /** Only in tests: the address that is really dialled in the place of one that was judged. */
  translate?: (address: string) => string;
}

/** Methods that may be sent once more when a kept connection turns out to be closed (RFC 9110, 9.2.2 and 9.3). */
const REPEATABLE = new Set(["GET", "HEAD", "OPTIONS"]);

/**
 * Sockets to judged addresses, with undici's HTTP/1.1 on them. A name is never looked up here. Connections are kept for
 * `CONNECTIONS_IDLE_MS_MAX` and shared only by exchanges with the same pool, scheme, host, port and address.
 */
export function createDialer(clock: Clock, o: DialerOptions = {}): Dialer & { close(): Promise<void> } {
  const parts = { clock, trusted: trust(o.ca_files ?? []), translate: o.translate ?? ((address: string) => address) };
  const lines = new KeptLines(clock);

  async function open(asked: Exchange, key: string): Promise<Line> {
    const { target, address, signal } = asked;
    const tls = target.protocol === "https" ? { tls: { host: target.host } } : {};
    return new Line(key, await dial(parts, { address, port: target.port, ...tls, signal }));
  }

  async function exchange(asked: Exchange): Promise<Exchanged> {
    const key = keyOf(asked.pool, asked.target, asked.address);
    const safe = REPEATABLE.has(asked.method);
    const kept = lines.take(key, safe);
    if (kept !== undefined) {
      try {
        return await converse({ clock, lines, line: kept }, asked);
      } catch (error) {
        // The far end closed the connection while it was idle, and said so too late.
        const { stale, sent, cause } = error as Failed;
        if (!stale || (sent && (!safe || asked.body !== null)) || asked.signal.aborted) throw cause;
      }
    }
    try {
      return await converse({ clock, lines, line: await open(asked, key) }, asked);
    } catch (error) {
      throw isFailed(error) ? error.cause : error;
    }
  }

  return {
    connect: async (to) => (await dial(parts, to)).socket,
    exchange,
    close: async () => lines.close(),
  };
}

function isFailed(error: unknown): error is Failed {
  return typeof error === "object" && error !== null && "stale" in error;
}

function keyOf(pool: string, { protocol, host, port }: Target, address: string): string {
  return `${pool}\n${protocol}\n${host}\n${port}\n${address}`;
}

/** With `ca`, Node forgets its own list, so that is named as well; without, `NODE_EXTRA_CA_CERTS` counts too. */
function trust(files: readonly string[]): SecureContext | undefined {
  if (files.length === 0) return undefined;
  return createSecureContext({ ca: [...rootCertificates, ...files.map((file) => readFileSync(file, "utf8"))] });
}
