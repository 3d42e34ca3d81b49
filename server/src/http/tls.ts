import { createServer, type ServerOptions } from "node:https";
import type { Socket } from "node:net";

/** What a listener proves itself with, both in PEM. */
export interface TlsMaterial {
  cert: string;
  key: string;
}

const VERSION_MIN = "TLSv1.2";

/** What makes the listener one of HTTPS. HTTP/1.1 only, as without TLS. */
export function tlsListener(material: TlsMaterial, handshake_timeout_ms: number) {
  const options: ServerOptions = { ...material, minVersion: VERSION_MIN, handshakeTimeout: handshake_timeout_ms };
  return { createServer, options };
}

/** Connections that begin from now on get this; those that are open go on with what they have. */
export function renewTls(server: object, material: TlsMaterial): void {
  (server as ReturnType<typeof createServer>).setSecureContext({ ...material, minVersion: VERSION_MIN });
}

/**
 * The connection below a handshake that failed because the client speaks HTTP without TLS: it can be answered in clear
 * text, where the TLS socket can no longer be written to. Node (20) offers no other way to it.
 */
export function plainSocket(error: { code?: string }, socket: Socket): Socket | undefined {
  if (error.code !== "ERR_SSL_HTTP_REQUEST") return undefined;
  const { _parent: plain } = socket as { _parent?: Socket | null };
  return plain ?? undefined;
}
