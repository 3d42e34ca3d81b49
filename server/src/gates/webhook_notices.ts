import { setMaxListeners } from "node:events";
import type { Sender } from "../evidence/contract.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Ids, NoticeId, TenantId } from "../kernel/ids.ts";
import type { Logger } from "../kernel/log.ts";
import type { Random } from "../kernel/random.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import type { Fire, Storage, Tx } from "../storage/contract.ts";
import {
  NOTICE_ANSWER_BYTES_MAX,
  NOTICE_SENDS_MAX,
  NOTICE_SENDS_PER_TENANT_MAX,
  NOTICES_KEPT_MS,
  NOTICES_WAITING_MAX,
  type Notifier,
  WEBHOOK_BODY_BYTES_MAX,
  WEBHOOK_RETRY_MS,
  WEBHOOK_TIMEOUT_MS,
} from "./contract.ts";
import { openText, signNotice, type WebhookKeys } from "./webhook_secret.ts";
import {
  countWaiting,
  deleteSettled,
  insertNotice,
  type NoticeRow,
  selectNotice,
  selectWebhook,
  selectWebhooks,
  updateNotice,
  type WebhookRow,
} from "./webhook_store.ts";

const TIMER = "gates.webhook";
/** A notice that finds every place taken comes again so much later, and up to four times that: not all at once. */
const BUSY_MS = 1_000;
/** Of the sentence that says what was wrong. */
const ERROR_CHARS = 200;
/** Values of `data` that a notice keeps which would be too large with all of them. */
const SHORT_CHARS = 128;

export interface NoticeParts {
  storage: Storage;
  clock: Clock;
  random: Random;
  ids: Ids;
  metrics: Metrics;
  log: Logger;
  sender: Sender;
  keys: WebhookKeys;
}

type NoticeEvent = NoticeRow["event"];
/** What came of one attempt; undefined: it was broken off here, and does not count. */
type Answer = { ok: boolean; status: number | null; error: string | null } | undefined;

/**
 * Notices, written in the unit of what they tell of and sent by a durable timer each, at least once: whoever hears of
 * one twice knows by `webhook-id`. In what order they arrive is not promised.
 */
export class WebhookNotices implements Notifier {
  readonly #parts: NoticeParts;
  readonly #sending = new Map<TenantId, number>();
  readonly #stop = new AbortController();

  /** Before the timers start. */
  constructor(parts: NoticeParts) {
    this.#parts = parts;
    // Each that is being sent listens for the stop.
    setMaxListeners(NOTICE_SENDS_MAX, this.#stop.signal);
    parts.storage.timers.on(TIMER, (fire) => this.#fire(fire));
  }

  async notify(tx: Tx, event: Parameters<Notifier["notify"]>[1]): Promise<void> {
    const webhooks = await selectWebhooks(tx, event.tenant);
    const told = webhooks.filter(({ events_json }) => (JSON.parse(events_json) as string[]).includes(event.event));
    if (told.length === 0) return;
    const body = noticeBody(event);
    const waiting = await countWaiting(tx, event.tenant);
    for (const [n, webhook] of told.entries()) {
      // What tells must not be held up by who is told: past the limit the notice is there, and dead.
      const is_full = waiting + n >= NOTICES_WAITING_MAX;
      this.#queue(tx, webhook, event.event, body, is_full ? "as many notices waited as may" : undefined);
    }
  }

  /** One notice to this webhook alone, like all others. @returns undefined when as many wait as may. */
  async test(tx: Tx, webhook: WebhookRow): Promise<NoticeRow | undefined> {
    if ((await countWaiting(tx, webhook.tenant_id)) >= NOTICES_WAITING_MAX) return undefined;
    const at = this.#parts.clock.now();
    const event = { tenant: webhook.tenant_id, event: "webhook.test" as const, at, data: { webhook: webhook.id } };
    return this.#queue(tx, webhook, event.event, noticeBody(event), undefined);
  }

  /** What is being sent is broken off, and sent anew after the next start. Then the timers may be stopped. */
  close(): void {
    this.#stop.abort();
  }

  #queue(tx: Tx, webhook: WebhookRow, event: NoticeEvent, body: string, dead: string | undefined): NoticeRow {
    const { ids, clock, storage } = this.#parts;
    const id: NoticeId = ids("msg");
    const at = clock.now();
    const row: NoticeRow = {
      id,
      tenant_id: webhook.tenant_id,
      webhook_id: webhook.id,
      event,
      body: dead === undefined ? body : "",
      state: dead === undefined ? "waiting" : "dead",
      attempts: 0,
      status: null,
      error: dead ?? null,
      created_at: at,
      due_at: dead === undefined ? at : null,
      settled_at: dead === undefined ? null : at,
    };
    insertNotice(tx, row);
    if (dead === undefined) storage.timers.set(tx, { owner: TIMER, key: id, due_at: at });
    return row;
  }

  async #fire(fire: Fire): Promise<void> {
    const { storage } = this.#parts;
    const row = await selectNotice(storage, fire.key);
    const webhook = row === undefined ? undefined : await selectWebhook(storage, row.tenant_id, row.webhook_id);
    if (row === undefined || webhook === undefined || row.state !== "waiting") {
      return storage.write((tx) => storage.timers.done(tx, fire));
    }
    const answer = this.#take(row.tenant_id) ? await this.#attempt(webhook, row) : undefined;
    await (answer === undefined ? this.#postpone(fire) : this.#settle(fire, row, answer));
  }

  /** A place among those who send; `#attempt` gives it back. */
  #take(tenant: TenantId): boolean {
    const own = this.#sending.get(tenant) ?? 0;
    const all = [...this.#sending.values()].reduce((sum, n) => sum + n, 0);
    if (own >= NOTICE_SENDS_PER_TENANT_MAX || all >= NOTICE_SENDS_MAX) return false;
    this.#sending.set(tenant, own + 1);
    return true;
  }

  async #attempt(webhook: WebhookRow, { id, tenant_id, body }: NoticeRow): Promise<Answer> {
    const { clock, sender, keys } = this.#parts;
    try {
      const secret = openText(keys, `${webhook.id}/secret`, webhook.secret_sealed);
      const at_s = Math.floor(clock.now() / 1_000);
      const { status } = await sender.send({
        method: "POST",
        url: openText(keys, `${webhook.id}/url`, webhook.url_sealed),
        body,
        headers: {
          "content-type": "application/json",
          "webhook-id": id,
          "webhook-timestamp": String(at_s),
          "webhook-signature": signNotice(secret, { id, at_s, body }),
        },
        timeout_ms: WEBHOOK_TIMEOUT_MS,
        answer_bytes_max: NOTICE_ANSWER_BYTES_MAX,
        signal: this.#stop.signal,
      });
      return { ok: status >= 200 && status < 300, status, error: refusalOf(status) };
    } catch (error) {
      if (this.#stop.signal.aborted) return undefined;
      return { ok: false, status: null, error: (error as Error).message.slice(0, ERROR_CHARS) };
    } finally {
      const left = (this.#sending.get(tenant_id) ?? 1) - 1;
      if (left === 0) this.#sending.delete(tenant_id);
      else this.#sending.set(tenant_id, left);
    }
  }

  #postpone(fire: Fire): Promise<void> {
    const { storage, clock, random } = this.#parts;
    const wait_ms = BUSY_MS + (BUSY_MS * 3 * (random.bytes(1)[0] ?? 0)) / 256;
    return storage.write((tx) => {
      storage.timers.done(tx, fire);
      storage.timers.set(tx, { owner: TIMER, key: fire.key, due_at: clock.now() + Math.round(wait_ms) });
    });
  }

  async #settle(fire: Fire, before: NoticeRow, answer: NonNullable<Answer>): Promise<void> {
    const { storage, clock, log, metrics } = this.#parts;
    const at = clock.now();
    const attempts = before.attempts + 1;
    const wait_ms = answer.ok ? undefined : WEBHOOK_RETRY_MS[attempts - 1];
    const due_at = wait_ms === undefined ? null : at + wait_ms;
    const state = answer.ok ? "delivered" : due_at === null ? "dead" : "waiting";
    const { status, error } = answer;
    const settled = due_at === null ? { due_at, settled_at: at, body: "" } : { due_at };
    const row: NoticeRow = { ...before, ...settled, state, attempts, status, error };
    await storage.write((tx) => {
      storage.timers.done(tx, fire);
      updateNotice(tx, row);
      if (due_at === null) deleteSettled(tx, row.webhook_id, at - NOTICES_KEPT_MS);
      else storage.timers.set(tx, { owner: TIMER, key: row.id, due_at });
    });
    metrics.add("gantry_webhook_attempts_total", { outcome: answer.ok ? "delivered" : "failed" });
    if (state === "dead") {
      log.warn({ webhook: row.webhook_id, notice: row.id, status, error }, "a notice was given up");
    }
  }
}

/** Canonical enough: one text is made once, kept, and signed as it is. */
function noticeBody({ tenant, event, at, data }: { tenant: string; event: string; at: number; data: object }): string {
  const head = { type: event, timestamp: new Date(at).toISOString(), tenant };
  const whole = JSON.stringify({ ...head, data });
  if (Buffer.byteLength(whole) <= WEBHOOK_BODY_BYTES_MAX) return whole;
  // Ids, hashes and numbers are what a receiver needs to ask for the rest.
  const short = Object.entries(data).filter(([, value]) => JSON.stringify(value ?? null).length <= SHORT_CHARS);
  const few = JSON.stringify({ ...head, data: { ...Object.fromEntries(short), cut: true } });
  return Buffer.byteLength(few) <= WEBHOOK_BODY_BYTES_MAX ? few : JSON.stringify({ ...head, data: { cut: true } });
}

function refusalOf(status: number): string | null {
  if (status >= 200 && status < 300) return null;
  if (status >= 300 && status < 400) return `it answered with status ${status}: redirects are not followed`;
  return `it answered with status ${status}`;
}
