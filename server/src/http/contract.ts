import { defineErrors } from "../kernel/errors.ts";

const bad = { status: 400, retry: "never", whose: "caller" } as const;

export const errors = defineErrors("REQUEST", {
  INVALID: { ...bad, title: "The request is not valid." },
  JSON: { ...bad, title: "The body is not JSON." },
  CONTENT_TYPE: { ...bad, status: 415, title: "The body has the wrong content type." },
  TOO_LARGE: { ...bad, status: 413, title: "The body is larger than its limit." },
  HEADERS: { ...bad, status: 431, title: "The request line and headers are larger than their limit." },
  MALFORMED: { ...bad, title: "What arrived is not HTTP." },
  TIMEOUT: { ...bad, status: 408, retry: "safe", title: "The request did not arrive whole in time." },
  UNKNOWN_PATH: { ...bad, status: 404, title: "There is nothing at this path." },
  METHOD: { ...bad, status: 405, title: "The path does not know this method." },
  INTERNAL: {
    status: 500,
    retry: "later",
    whose: "gantry",
    title: "Something went wrong on our side; the log has it under the request's id.",
  },
});

/** Beginnings of the paths that need a token. Others are for everybody, or judge for themselves. */
export const TOKEN_PATHS = ["/v1/", "/log/tile/entries/"] as const;
/** Paths under `TOKEN_PATHS` that need none: a login is how one gets a token. */
export const OPEN_PATHS: readonly string[] = ["/v1/login"];
/** A login link in JSON, from who has no token yet. */
export const LOGIN_BODY_BYTES_MAX = 1_024;
/** A run's request that has no token: the signed task that stands for one is in the body, which must be read first. */
export const TASK_BODY_BYTES_MAX = 1024 * 1024;
/** Bodies of paths that do not say otherwise. */
export const BODY_BYTES_MAX = 1024 * 1024;
/** Problems that one answer names. */
export const PROBLEMS_MAX = 50;
/** Edits between an unknown member and the known one that it may have meant. */
export const NAME_EDITS_MAX = 3;
/** Request line and headers together. */
export const HEADER_BYTES_MAX = 16 * 1024;
export const HEADERS_MAX = 100;
export const HEADERS_TIMEOUT_MS = 10_000;
/** Until a request has arrived whole. */
export const REQUEST_TIMEOUT_MS = 120_000;
/** How long an idle connection is kept. */
export const KEEP_ALIVE_MS = 65_000;
export const CONNECTIONS_MAX = 4_096;
/** How long a client that sent no proper request may take to read what was wrong with it. */
export const REFUSED_CLOSE_MS = 2_000;
/** How often connections that became idle are looked for while closing. */
export const CLOSE_POLL_MS = 50;
/** How often the files of the listener's certificate are looked at. */
export const TLS_POLL_MS = 10_000;
/** A log file of the config that says no size of its own, how small and how large one may be. */
export const LOG_FILE_BYTES = 64 * 1024 * 1024;
export const LOG_FILE_BYTES_MIN = 64 * 1024;
export const LOG_FILE_BYTES_MAX = 16 * 1024 * 1024 * 1024;
/** Older log files that are kept, unless the config says otherwise, and how many these may be. */
export const LOG_FILES_KEPT = 5;
export const LOG_FILES_KEPT_MAX = 1_000;
/** How long one check of readiness may take before it counts as failed. */
export const READY_CHECK_MS = 2_000;
/** The header that carries a request's id in every answer, as it is written on the wire. */
export const REQUEST_ID_HEADER = "gantry-request";
