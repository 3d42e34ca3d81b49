import { hasCode } from "../../kernel/errors.ts";
import { egress_errors } from "../contract.ts";
import type { BodyGuard, Call } from "../parts.ts";
import { HeldChunks } from "../secrets/held_chunks.ts";
import type { GuardDeps } from "./deps.ts";
import { RULE_BYTES_MAX } from "./dlp_rules.ts";
import { DlpWindows } from "./dlp_windows.ts";
import { JsonRpcWatch } from "./mcp_body.ts";
import { OwnTokenWatch } from "./own_tokens.ts";
import { looksSecret, shadowMcp } from "./refusals.ts";

/**
 * Looks at a body as it goes by; what goes on are the bytes that came. Under `deny` a window is held until it has been
 * searched for secrets: up to `DLP_WINDOW_BYTES_MAX` wait for more, or for the body's end. Under `log` nothing waits but
 * the beginning of one of our own tokens, and, at the end, the answer of the last search.
 */
export class BodyWatch implements BodyGuard {
  readonly #call: Call;
  readonly #deps: GuardDeps;
  readonly #held = new HeldChunks();
  readonly #own = new OwnTokenWatch();
  readonly #windows = new DlpWindows();
  readonly #json: JsonRpcWatch | undefined;
  readonly #noticed = new Set<string>();
  readonly #searches = new Set<Promise<void>>();

  constructor(call: Call, deps: GuardDeps) {
    this.#call = call;
    this.#deps = deps;
    this.#json = call.rule.mcp === true ? undefined : new JsonRpcWatch();
  }

  async push(chunk: Buffer): Promise<Buffer> {
    this.#own.feed(chunk);
    this.#readJson(chunk);
    this.#held.push(chunk);
    for (const window of this.#windows.push(chunk)) await this.#search(window);
    return this.#held.release(Math.max(this.#own.held_bytes, this.#unsearched()));
  }

  async end(): Promise<Buffer> {
    const rest = this.#windows.rest();
    if (rest !== undefined) await this.#search(rest);
    await Promise.all(this.#searches);
    return this.#held.release();
  }

  noticed(): string[] {
    return [...this.#noticed];
  }

  get #is_dlp_denied(): boolean {
    return this.#call.who.view.contract.dlp.action === "deny";
  }

  /** Bytes at the end that were not searched, or are the beginning of the next window too. */
  #unsearched(): number {
    return this.#is_dlp_denied ? this.#windows.fresh_bytes + RULE_BYTES_MAX : 0;
  }

  #readJson(chunk: Buffer): void {
    const method = this.#json?.feed(chunk);
    if (method === undefined) return;
    if (this.#call.who.view.contract.shadow_mcp === "deny") {
      throw shadowMcp(this.#call, { sure: "certain", what: `the JSON-RPC method ${method}` });
    }
    this.#noticed.add(egress_errors.SHADOW_MCP.code);
  }

  async #search(window: Buffer): Promise<void> {
    const searching = this.#deps.dlp.scan(window, this.#call.who.tenant);
    if (this.#is_dlp_denied) {
      const rule = await searching;
      if (rule !== undefined) throw looksSecret(rule, "the body");
      return;
    }
    const noted = searching.then(
      (rule) => {
        if (rule !== undefined) this.#noticed.add(egress_errors.DLP.code);
      },
      (error: unknown) => {
        // Under `log` nothing is refused, and that a window went by unseen is said like what was seen.
        if (!hasCode(error, egress_errors.CAPACITY)) throw error;
        this.#noticed.add(egress_errors.CAPACITY.code);
      },
    );
    this.#searches.add(noted);
    // Who ends the body waits for it; a body that is broken off must not leave a rejection that nobody hears.
    noted.catch(() => {});
  }
}
