import type { ProblemDocument } from "./types.ts";

/** The `code` of a problem that the client wrote itself, because the answer did not come from a Gantry server. */
export const ANSWER_UNREADABLE = "ANSWER_UNREADABLE";
/** Characters of a foreign answer that its problem quotes. */
const QUOTE_MAX = 200;

/**
 * The server answered with a refusal. Compare `error.problem.code`; the codes are stable, the sentences are not.
 */
export class GantryApiError extends Error {
  readonly problem: ProblemDocument;

  constructor(problem: ProblemDocument) {
    super(`${problem.code}: ${problem.detail}`);
    this.name = "GantryApiError";
    this.problem = problem;
  }

  get code(): string {
    return this.problem.code;
  }

  get status(): number {
    return this.problem.status;
  }
}

/** No answer came: nothing listens, the name is unknown, or the connection broke. A mutation may have happened. */
export class GantryConnectionError extends Error {
  /** Where the client looked, without credentials. */
  readonly url: string;
  /** The system's name for it, as `ECONNREFUSED`, if there is one. */
  readonly reason: string | undefined;

  constructor(url: string, cause: unknown) {
    const reason = systemCode(cause);
    super(sentence(url, reason, cause), { cause });
    this.name = "GantryConnectionError";
    this.url = url;
    this.reason = reason;
  }
}

/** By name and not by class, so that it holds for two copies of this module. */
export function isApiError(error: unknown): error is GantryApiError {
  return error instanceof Error && error.name === "GantryApiError" && "problem" in error;
}

/** By name and not by class, so that it holds for two copies of this module. */
export function isConnectionError(error: unknown): error is GantryConnectionError {
  return error instanceof Error && error.name === "GantryConnectionError" && "url" in error;
}

/** Node's `fetch` rejects with `TypeError: fetch failed` and hides what happened in `cause.code`. */
function systemCode(cause: unknown): string | undefined {
  let at = cause;
  for (let depth = 0; depth < 4 && typeof at === "object" && at !== null; depth++) {
    if ("code" in at && typeof at.code === "string") return at.code;
    at = "cause" in at ? at.cause : undefined;
  }
  return undefined;
}

/** How OpenSSL says that it knows no authority that signed the certificate. */
const UNTRUSTED = [
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
];

/** The server's certificate is signed by nobody whom this process trusts: `NODE_EXTRA_CA_CERTS` names more. */
export function isUntrusted(error: GantryConnectionError): boolean {
  return error.reason !== undefined && UNTRUSTED.includes(error.reason);
}

function certificateSentence(url: string, reason: string): string | undefined {
  if (UNTRUSTED.includes(reason)) {
    return (
      `The certificate of ${url} is signed by an authority that is not trusted here (${reason}). ` +
      "Set NODE_EXTRA_CA_CERTS to the file of that authority's certificate (PEM) before this program starts."
    );
  }
  if (reason === "CERT_HAS_EXPIRED") return `The certificate of ${url} has expired; its operator must renew it.`;
  if (reason === "CERT_NOT_YET_VALID") return `The certificate of ${url} is not valid yet, or the clock here is wrong.`;
  if (reason === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return `The certificate of ${url} is for other names; use a name that it has.`;
  }
  if (reason === "ERR_SSL_WRONG_VERSION_NUMBER") return `What listens at ${url} does not speak TLS; try http://.`;
  return undefined;
}

function sentence(url: string, reason: string | undefined, cause: unknown): string {
  if (reason === "ECONNREFUSED") return `Nothing listens at ${url}.`;
  if (reason === "ENOTFOUND" || reason === "EAI_AGAIN") return `The host name in ${url} cannot be resolved.`;
  const certificate = reason === undefined ? undefined : certificateSentence(url, reason);
  if (certificate !== undefined) return certificate;
  if (reason !== undefined) return `The connection to ${url} failed (${reason}).`;
  const text = cause instanceof Error ? cause.message : String(cause);
  return `The connection to ${url} failed: ${text}.`;
}

/**
 * The problem that an answer carries. An answer without a problem document (a proxy's page, a wrong URL)
 * becomes one with the code `ANSWER_UNREADABLE` that quotes how it begins.
 * @param body  the whole text of the answer.
 */
export function problemOfAnswer(status: number, content_type: string, body: string): ProblemDocument {
  const parsed = parseProblem(body);
  if (parsed !== undefined) return { ...parsed, status };
  const quote = body.replace(/\s+/g, " ").trim().slice(0, QUOTE_MAX);
  const kind = content_type === "" ? "no content type" : content_type;
  return {
    type: "about:blank",
    status,
    code: ANSWER_UNREADABLE,
    title: "The answer does not come from a Gantry server.",
    detail: `Status ${status} with ${kind} where JSON was expected${quote === "" ? "" : `; it begins: ${quote}`}`,
    next_steps: [{ kind: "change", text: "Check that the URL is the one of a Gantry server, without a path." }],
  };
}

function parseProblem(body: string): ProblemDocument | undefined {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    // Not JSON is an ordinary case here: the caller quotes the text instead.
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const has = (key: string): boolean => key in value && typeof (value as Record<string, unknown>)[key] === "string";
  return has("code") && has("detail") && has("title") ? (value as ProblemDocument) : undefined;
}
