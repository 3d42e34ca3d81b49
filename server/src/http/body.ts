import { isUtf8 } from "node:buffer";
import type { Context, MiddlewareHandler } from "hono";
import type { RouteEnv } from "../identity/contract.ts";
import { GantryError } from "../kernel/errors.ts";
import { errors, TOKEN_PATHS } from "./contract.ts";

const JSON_TYPE = /^application\/json *(?:; *charset="?utf-8"?)? *$/i;
/** RFC 9512. */
const YAML_TYPE = /^application\/yaml *(?:; *charset="?utf-8"?)? *$/i;
/** Where documents are sent as they stand in their files. */
const YAML_PATHS = "/v1/contracts/";
/** What pages for people send; nothing whose path needs a token takes it. */
const FORM_TYPE = /^application\/x-www-form-urlencoded *(?:; *charset="?utf-8"?)? *$/i;

/** Judges a body by its headers, before the token and before a byte of it is read. */
export function bodyHeaders(bytes_max: (c: Context<RouteEnv>) => number): MiddlewareHandler<RouteEnv> {
  return async (c, next) => {
    const length = c.req.header("content-length");
    const chunked = c.req.header("transfer-encoding") !== undefined;
    if (!chunked && (length === undefined || length === "0")) return next();
    const max = bytes_max(c);
    if (length !== undefined && Number(length) > max) throw tooLarge(max);
    const type = c.req.header("content-type");
    const takes_yaml = c.req.path.startsWith(YAML_PATHS);
    if (type !== undefined && (JSON_TYPE.test(type) || (takes_yaml && YAML_TYPE.test(type)))) return next();
    const takes_form = !TOKEN_PATHS.some((path) => c.req.path.startsWith(path));
    if (type !== undefined && takes_form && FORM_TYPE.test(type)) return next();
    throw new GantryError(errors.CONTENT_TYPE, {
      detail: `The body is ${type === undefined ? "of no stated type" : JSON.stringify(type.slice(0, 100))}; send application/json${takes_yaml ? " or application/yaml" : ""}.`,
    });
  };
}

/** Reads a body that did not state its length, up to the limit and not a chunk further. For callers with a token. */
export function bodyOfUnknownLength(bytes_max: (c: Context<RouteEnv>) => number): MiddlewareHandler<RouteEnv> {
  return async (c, next) => {
    if (c.req.header("transfer-encoding") === undefined) return next();
    // Only now: a look at the body makes a whole Request of it, with streams, which most requests can do without.
    const { body } = c.req.raw;
    if (body === null) return next();
    const max = bytes_max(c);
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of body) {
      size += chunk.byteLength;
      if (size > max) throw tooLarge(max);
      chunks.push(chunk);
    }
    keepText(c, Buffer.concat(chunks));
    await next();
  };
}

/** Reads a body that stated its length; `bodyHeaders` has judged it. For callers with a token. */
export function bodyOfKnownLength(): MiddlewareHandler<RouteEnv> {
  return async (c, next) => {
    const length = c.req.header("content-length");
    if (length === undefined || length === "0" || c.req.header("transfer-encoding") !== undefined) return next();
    const bytes = await c.req.raw.arrayBuffer().catch((cause: unknown) => {
      throw new GantryError(errors.JSON, { detail: "The body broke off before its stated length.", cause });
    });
    keepText(c, Buffer.from(bytes));
    await next();
  };
}

/**
 * Later readers find the text here instead of the used-up stream. Hono (4.13) keeps promises in this cache and types
 * them as what they resolve to.
 * @throws REQUEST_JSON for bytes that are not UTF-8: a decoder replaces them, and what ran would not be what was sent.
 */
function keepText(c: Context<RouteEnv>, bytes: Buffer): void {
  if (!isUtf8(bytes)) {
    const { line, column } = firstReplaced(bytes);
    const problem = { at: "", line, column, text: "is not UTF-8 here" };
    const detail = `The body is not UTF-8, in line ${line}, column ${column}.`;
    throw new GantryError(errors.JSON, { detail, problems: [problem] });
  }
  c.req.bodyCache.text = Promise.resolve(new TextDecoder().decode(bytes)) as unknown as string;
}

const REPLACEMENT = "\ufffd";
const REPLACEMENT_BYTES = Buffer.from(REPLACEMENT);

/** Where the decoder put the first U+FFFD that is not in the bytes themselves. Line and column count from 1. */
function firstReplaced(bytes: Buffer): { line: number; column: number } {
  // With its byte order mark, or places in the text would not be places in the bytes.
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  let at = text.indexOf(REPLACEMENT);
  let offset = Buffer.byteLength(text.slice(0, at));
  while (at >= 0 && bytes.subarray(offset, offset + 3).equals(REPLACEMENT_BYTES)) {
    const next = text.indexOf(REPLACEMENT, at + 1);
    offset += Buffer.byteLength(text.slice(at, next));
    at = next;
  }
  const before = text.slice(0, at).split("\n");
  return { line: before.length, column: (before.at(-1) ?? "").length + 1 };
}

function tooLarge(max: number): GantryError {
  return new GantryError(errors.TOO_LARGE, { detail: `The body may have at most ${max} bytes.` });
}
