import { isConnectionError } from "./errors.ts";
import { pause } from "./pause.ts";
import { type Ask, pagesOf, type Transport } from "./transport.ts";
import type { LogLine, Page, RunCalls, RunRequest, RunState, RunView, Termination } from "./types.ts";

/** How long one request of `wait` may stay open; the server's own maximum is 60,000. */
const WAIT_MS = 30_000;
/** The least time between two requests of `wait`: a server that answers at once must not be asked in a tight loop. */
const POLL_MS_MIN = 100;
/** Broken connections in a row, without a line between them, after which `logs` gives up. */
const RECONNECTS_MAX = 5;
const RECONNECT_MS = 250;
/** As many of a tree as one request gives. */
const TREE_PAGE = 200;

/** How a run is submitted. */
export interface SubmitOptions {
  /** Equal key and equal request within 24 h: the same run, not a second one. 1-255 printable characters. */
  idempotency_key?: string;
  /** Aborting stops waiting; the run itself goes on. */
  signal?: AbortSignal;
}

/** How a run is looked at. */
export interface GetOptions {
  /** Milliseconds to wait for the end, 0-60,000; default 0. */
  wait_ms?: number;
  signal?: AbortSignal;
}

/** How the end of a run is awaited. */
export interface WaitOptions {
  /** Aborting stops waiting; the run itself goes on. */
  signal?: AbortSignal;
  /** Called with the first view, and again each time that `state` has changed. */
  on_state?: (view: RunView) => void;
}

/** Which runs; absent members narrow nothing. */
export interface RunQuery {
  /** From an earlier page's `next`. */
  cursor?: string;
  /** 1-200, default 50. */
  limit?: number;
  state?: RunState;
  termination?: Termination;
  /** Of this session only. */
  session?: string;
  /** Only what this run, and what it started, have started. */
  root?: string;
}

/** Which part of a log, and whether to stay for the rest. */
export interface LogOptions {
  /** Only lines whose `seq` is larger. */
  after?: number;
  /** Keep waiting for lines until the run has ended. */
  follow?: boolean;
  signal?: AbortSignal;
}

/** Runs of guest code. Every method throws `GantryApiError` or `GantryConnectionError`. */
export class Runs {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Starts a run and waits up to `wait_ms` for its end.
   * @returns the run as it stands: `state` is `ended` or it goes on (then `wait` for it). A run that threw or
   * passed a limit is a normal answer; one that was denied, or that found no room, is a `GantryApiError`.
   */
  submit(request: RunRequest, options: SubmitOptions = {}): Promise<RunView> {
    const ask: Ask = { method: "POST", path: "/v1/runs", body: request, signal: options.signal };
    if (options.idempotency_key !== undefined) ask.headers = { "idempotency-key": options.idempotency_key };
    return this.#transport.json(ask);
  }

  /** @throws GantryApiError `RUN_NOT_FOUND`, for another tenant's run too. */
  get(id: string, options: GetOptions = {}): Promise<RunView> {
    const { wait_ms, signal } = options;
    return this.#transport.json({ method: "GET", path: pathOf(id), query: { wait_ms }, signal });
  }

  /** Resolves when the run has ended, however long that takes. */
  async wait(id: string, options: WaitOptions = {}): Promise<RunView> {
    let seen: RunState | undefined;
    for (;;) {
      const asked = performance.now();
      const view = await this.get(id, {
        // The first look does not wait, so that `on_state` tells the present state at once.
        wait_ms: seen === undefined ? 0 : WAIT_MS,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
      if (view.state !== seen) options.on_state?.(view);
      if (view.state === "ended") return view;
      if (seen !== undefined) await pause(POLL_MS_MIN - (performance.now() - asked), options.signal);
      seen = view.state;
    }
  }

  /**
   * The whole tree that a run is in: the run that nobody's run started, and all that it and they started.
   * @returns oldest first, the root in front.
   */
  async tree(id: string, options: { signal?: AbortSignal } = {}): Promise<RunView[]> {
    const asked = await this.get(id, options);
    const root = asked.root === undefined ? asked : await this.get(asked.root, options);
    const below: RunView[] = [];
    for await (const page of this.pages({ root: root.id, limit: TREE_PAGE }, options)) below.push(...page.items);
    return [root, ...below.reverse()];
  }

  /** One page, newest first. */
  list(query: RunQuery = {}, options: { signal?: AbortSignal } = {}): Promise<Page<RunView>> {
    return this.#transport.json({ method: "GET", path: "/v1/runs", query: { ...query }, signal: options.signal });
  }

  /** All pages from `query.cursor` on: `for await (const page of gantry.runs.pages()) …`. */
  pages(query: RunQuery = {}, options: { signal?: AbortSignal } = {}): AsyncGenerator<Page<RunView>, void, undefined> {
    return pagesOf((cursor) => this.list(cursor === undefined ? query : { ...query, cursor }, options), query.cursor);
  }

  /**
   * The run's log in order, each line once. While following, a broken connection is taken up again after the
   * last line; `GantryConnectionError` only when that fails `RECONNECTS_MAX` times in a row.
   */
  async *logs(id: string, options: LogOptions = {}): AsyncGenerator<LogLine, void, undefined> {
    let after = options.after;
    let failures = 0;
    for (;;) {
      try {
        const query = { after, follow: options.follow === true ? 1 : undefined };
        const ask: Ask = { method: "GET", path: `${pathOf(id)}/logs`, query, signal: options.signal };
        for await (const line of this.#transport.lines<LogLine>(ask)) {
          after = line.seq;
          failures = 0;
          yield line;
        }
        return;
      } catch (error) {
        if (options.follow !== true || !isConnectionError(error) || failures >= RECONNECTS_MAX) throw error;
        failures += 1;
        await pause(RECONNECT_MS, options.signal);
      }
    }
  }

  /**
   * What it called, in sum, and one page of it call by call.
   * @throws GantryApiError `RUN_NOT_FOUND`
   */
  calls(id: string, options: { cursor?: string | undefined; signal?: AbortSignal } = {}): Promise<RunCalls> {
    const { cursor, signal } = options;
    return this.#transport.json({ method: "GET", path: `${pathOf(id)}/egress`, query: { cursor }, signal });
  }

  /** Ends the run. Idempotent: a run that has ended is returned unchanged. */
  cancel(id: string, options: { signal?: AbortSignal } = {}): Promise<RunView> {
    return this.#transport.json({ method: "POST", path: `${pathOf(id)}/cancel`, signal: options.signal });
  }
}

function pathOf(id: string): string {
  return `/v1/runs/${encodeURIComponent(id)}`;
}
