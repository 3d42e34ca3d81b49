import { GantryError } from "../../kernel/errors.ts";
import { egress_errors } from "../contract.ts";

/** What Node and OpenSSL call a certificate that is not believed: `X509_V_ERR_*` without its prefix, and Node's own. */
const CERTIFICATE =
  /^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|CRL_|ERROR_IN_C|INVALID_(CA|PURPOSE)|PATH_LENGTH_|HOSTNAME_MISMATCH|EPROTO$)/;
const SENTENCES: Record<string, string> = {
  ECONNREFUSED: "refused the connection",
  ECONNRESET: "reset the connection",
  EPIPE: "closed the connection",
  EHOSTUNREACH: "cannot be reached",
  ENETUNREACH: "is in a network that cannot be reached",
  ETIMEDOUT: "did not answer",
  UND_ERR_SOCKET: "closed the connection",
  UND_ERR_HEADERS_OVERFLOW: "sent a longer head than may be",
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: "sent another number of bytes than it said",
};

/** The name that Node, OpenSSL or undici gives an error. */
export function nameOf(error: unknown): string {
  const code: unknown = typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
  return typeof code === "string" && code !== "" ? code : "unknown";
}

/** Why a connection to `host` came to nothing: EGRESS_TLS or EGRESS_UPSTREAM. Node's messages may name addresses; none of these does. */
export function connectFault(host: string, error: unknown): GantryError {
  const name = nameOf(error);
  if (CERTIFICATE.test(name)) {
    return new GantryError(egress_errors.TLS, {
      detail: `${host} did not prove with a certificate that it is ${host} (${name}).`,
      internal: error,
    });
  }
  return new GantryError(egress_errors.UPSTREAM, {
    detail: `${host} ${SENTENCES[name] ?? "did not answer"} (${name}).`,
    internal: error,
  });
}

/** Why an exchange ended before the whole answer was there: EGRESS_INCOMPLETE once an answer had begun. */
export function exchangeFault(host: string, error: unknown, begun: boolean): GantryError {
  const name = nameOf(error);
  const kind = begun && name !== "UND_ERR_HEADERS_OVERFLOW" ? egress_errors.INCOMPLETE : egress_errors.UPSTREAM;
  const sentence = name.startsWith("HPE_") ? "does not speak HTTP/1.1" : (SENTENCES[name] ?? "broke off the exchange");
  return new GantryError(kind, { detail: `${host} ${sentence} (${name}).`, internal: error });
}

export function timeFault(detail: string): GantryError {
  return new GantryError(egress_errors.TIME, { detail });
}
