import { GantryApiError, GantryConnectionError, problemOfAnswer } from "./errors.ts";
import { chunksOf, parseLines } from "./ndjson.ts";
import type { Page } from "./types.ts";

/** What a query string is made of; absent members are left out. */
type Query = Record<string, string | number | boolean | undefined>;

/** One request, relative to the server's URL. */
export interface Ask {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Begins with `/`; each part is already encoded. */
  path: string;
  query?: Query;
  headers?: Record<string, string>;
  /** Sent as JSON. */
  body?: unknown;
  /** Sent as it is, instead of `body`. */
  document?: { type: string; text: string };
  signal?: AbortSignal | undefined;
}

/** Sends requests to one server with one token, and turns what comes back into values or errors. */
export class Transport {
  readonly url: string;
  readonly #headers: Record<string, string>;
  readonly #fetch: typeof globalThis.fetch;

  /**
   * @param url  `http:` or `https:`; a path is kept as a prefix, for servers behind a proxy.
   * @throws TypeError if the URL or the token cannot be used; the token is never part of the message.
   */
  constructor(url: string, token: string | undefined, fetch: typeof globalThis.fetch = globalThis.fetch) {
    this.url = checkedUrl(url);
    this.#headers = { accept: "application/json" };
    if (token !== undefined) this.#headers["authorization"] = `Bearer ${checkedToken(token)}`;
    this.#fetch = fetch;
  }

  /** @throws GantryApiError GantryConnectionError; the signal's reason when it aborts. */
  async json<T>(ask: Ask): Promise<T> {
    const response = await this.#send(ask);
    const text = await this.#guard(ask, response.text());
    if (!response.ok) throw new GantryApiError(problemOf(response, text));
    try {
      return JSON.parse(text) as T;
    } catch {
      throw new GantryApiError(problemOf(response, text));
    }
  }

  /** An answer that says nothing but that it is done. @throws as `json`. */
  async done(ask: Ask): Promise<void> {
    const response = await this.#send(ask);
    const text = await this.#guard(ask, response.text());
    if (!response.ok) throw new GantryApiError(problemOf(response, text));
  }

  /** The answer's status, content type and text, whatever the status. */
  async text(ask: Ask): Promise<{ status: number; type: string; text: string }> {
    const response = await this.#send(ask);
    const type = response.headers.get("content-type") ?? "";
    return { status: response.status, type, text: await this.#guard(ask, response.text()) };
  }

  /** The text of an answer that is no JSON. @throws as `json`. */
  async body(ask: Ask): Promise<string> {
    const response = await this.#send({ ...ask, headers: { accept: "*/*", ...ask.headers } });
    const text = await this.#guard(ask, response.text());
    if (!response.ok) throw new GantryApiError(problemOf(response, text));
    return text;
  }

  /** The bytes of an answer as they arrive. Leaving the loop closes the connection. @throws as `json`. */
  async *bytes(ask: Ask): AsyncGenerator<Uint8Array, void, undefined> {
    const response = await this.#send({ ...ask, headers: { accept: "*/*", ...ask.headers } });
    if (!response.ok || response.body === null) {
      throw new GantryApiError(problemOf(response, await this.#guard(ask, response.text())));
    }
    const chunks = chunksOf(response.body);
    try {
      for (;;) {
        const next = await this.#guard(ask, chunks.next());
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      await chunks.return();
    }
  }

  /** The values of an NDJSON answer as they arrive. Leaving the loop closes the connection. */
  async *lines<T>(ask: Ask): AsyncGenerator<T, void, undefined> {
    const response = await this.#send({ ...ask, headers: { ...ask.headers, accept: "application/x-ndjson" } });
    if (!response.ok || response.body === null) {
      throw new GantryApiError(problemOf(response, await this.#guard(ask, response.text())));
    }
    const values = parseLines(chunksOf(response.body));
    for (;;) {
      const next = await this.#guard(ask, values.next());
      if (next.done === true) return;
      let kept = false;
      try {
        yield next.value as T;
        kept = true;
      } finally {
        if (!kept) await values.return();
      }
    }
  }

  async #send(ask: Ask): Promise<Response> {
    const headers = { ...this.#headers, ...ask.headers };
    if (ask.body !== undefined) headers["content-type"] = "application/json";
    const init: RequestInit = { method: ask.method, headers, redirect: "manual" };
    if (ask.body !== undefined) init.body = JSON.stringify(ask.body);
    if (ask.document !== undefined) {
      headers["content-type"] = ask.document.type;
      init.body = ask.document.text;
    }
    if (ask.signal !== undefined) init.signal = ask.signal;
    const fetch = this.#fetch;
    return this.#guard(ask, fetch(`${this.url}${ask.path}${queryString(ask.query)}`, init));
  }

  /** A broken connection becomes a readable error; an abort and a malformed line stay what they are. */
  async #guard<T>(ask: Ask, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      if (ask.signal?.aborted || error instanceof SyntaxError || error instanceof RangeError) throw error;
      throw new GantryConnectionError(this.url, error);
    }
  }
}

/**
 * Follows a list from page to page.
 * @throws Error if the server gives the same cursor twice, which would never end.
 */
export async function* pagesOf<T>(
  load: (cursor: string | undefined) => Promise<Page<T>>,
  from?: string,
): AsyncGenerator<Page<T>, void, undefined> {
  let cursor = from;
  for (;;) {
    const page = await load(cursor);
    yield page;
    if (page.next === undefined) return;
    if (page.next === cursor) throw new Error(`The server repeated the cursor ${cursor}, so the list would not end.`);
    cursor = page.next;
  }
}

function problemOf(response: Response, text: string): ReturnType<typeof problemOfAnswer> {
  return problemOfAnswer(response.status, response.headers.get("content-type") ?? "", text);
}

function queryString(query: Query = {}): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) params.set(name, String(value));
  const text = params.toString();
  return text === "" ? "" : `?${text}`;
}

function checkedUrl(url: string): string {
  if (!URL.canParse(url)) throw new TypeError(`"${url}" is not a URL; it looks like http://127.0.0.1:4280.`);
  const parsed = new URL(url);
  if (parsed.protocol !== "http:" && parsed.protocol !== "https:") {
    throw new TypeError(`The URL of a Gantry server begins with http: or https:, not ${parsed.protocol}`);
  }
  return `${parsed.origin}${parsed.pathname.replace(/\/+$/, "")}`;
}

/** A token with a stray character would make `fetch` throw an error that quotes it whole. */
function checkedToken(token: string): string {
  const trimmed = token.trim();
  if (!/^[\x21-\x7e]+$/.test(trimmed)) {
    throw new TypeError("The token is empty or holds characters that no token has; copy it again.");
  }
  return trimmed;
}
