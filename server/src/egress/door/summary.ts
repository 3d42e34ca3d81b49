import {
  EGRESS_HOST_CHARS,
  EGRESS_LOG_BYTES_MAX,
  EGRESS_ROWS_MAX,
  type EgressRow,
  type EgressSummary,
} from "../contract.ts";

/** What there is to say of one call that has ended. */
export interface EndedCall extends Omit<EgressRow, "count"> {
  effect: boolean;
  /** For the log alone. */
  line: LogLine;
}

/** One line of the private log: no bodies, no values of headers or queries. */
export interface LogLine {
  /** Milliseconds UTC when it began. */
  at: number;
  ms: number;
  url: string;
  status?: number;
  /** Names of the headers that the guest sent. */
  headers?: string[];
  /** Of a redirect that the door followed. */
  hop?: number;
  replayed?: true;
  /** What guards noticed and let pass, by code. */
  noticed?: string[];
  /** The answer's end cannot be told from a cut. */
  unverifiable?: true;
}

const METHOD_CHARS = 32;

/** What a run called, in sum, and line by line. */
export class Summary {
  readonly #rows = new Map<string, EgressRow>();
  /** What there was no row left for. */
  #rest: EgressRow | undefined;
  #effects = 0;
  readonly #lines: string[] = [];
  #log_bytes = 0;
  #log_dropped = 0;

  add(ended: EndedCall): void {
    const { line, effect, ...row } = ended;
    if (effect) this.#effects += 1;
    this.#fold({ ...row, host: row.host.slice(0, EGRESS_HOST_CHARS), method: row.method.slice(0, METHOD_CHARS) });
    this.#log(line, row);
  }

  take(): EgressSummary {
    const rows = [...this.#rows.values(), ...(this.#rest === undefined ? [] : [this.#rest])];
    return {
      rows: rows.map((row) => ({ ...row })),
      effects: this.#effects,
      log: this.#lines.join(""),
      log_dropped: this.#log_dropped,
    };
  }

  #fold(row: Omit<EgressRow, "count">): void {
    const { host, method, path, rule, verdict, code, request_bytes, response_bytes } = row;
    // None of these has a line feed in it.
    const key = `${host}\n${method}\n${path}\n${rule}\n${verdict}\n${code}`;
    let into = this.#rows.get(key);
    if (into === undefined && this.#rows.size < EGRESS_ROWS_MAX - 1) {
      into = { ...row, count: 0, request_bytes: 0, response_bytes: 0 };
      this.#rows.set(key, into);
    }
    into ??= this.#rest ??= {
      host: "*",
      method: "*",
      path: null,
      rule: null,
      verdict: "allowed",
      code: null,
      count: 0,
      request_bytes: 0,
      response_bytes: 0,
    };
    // A sum of both kinds is told as the one that must not be missed.
    if (into === this.#rest && verdict === "denied") into.verdict = "denied";
    into.count += 1;
    into.request_bytes += request_bytes;
    into.response_bytes += response_bytes;
  }

  #log(line: LogLine, row: Omit<EgressRow, "count">): void {
    const { at, url, ...more } = line;
    const { method, verdict, code, rule, request_bytes, response_bytes } = row;
    const entry = { at, method, url, verdict, code, rule, ...more, request_bytes, response_bytes };
    const text = `${JSON.stringify(entry)}\n`;
    const bytes = Buffer.byteLength(text);
    if (this.#log_bytes + bytes > EGRESS_LOG_BYTES_MAX) {
      this.#log_dropped += 1;
      return;
    }
    this.#log_bytes += bytes;
    this.#lines.push(text);
  }
}

/** The URL with each value of its query left out. */
export function maskedUrl(href: string): string {
  const at = href.indexOf("?");
  if (at < 0) return href;
  // Without `=` it may be a value by itself.
  const masked = href
    .slice(at + 1)
    .split("&")
    .map((each) => (each.includes("=") ? each.replace(/=.*$/s, "=*") : "*"));
  return `${href.slice(0, at)}?${masked.join("&")}`;
}
