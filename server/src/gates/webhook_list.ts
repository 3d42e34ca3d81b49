import type { ActorRef, Ledger } from "../evidence/contract.ts";
import type { Principal } from "../identity/contract.ts";
import type { Clock } from "../kernel/clock.ts";
import { GantryError } from "../kernel/errors.ts";
import type { Ids } from "../kernel/ids.ts";
import type { Random } from "../kernel/random.ts";
import type { Reader, Storage } from "../storage/contract.ts";
import {
  DELIVERIES_PAGE_DEFAULT,
  type DeliveryView,
  WEBHOOK_EVENTS,
  WEBHOOKS_PER_TENANT_MAX,
  type WebhookEvent,
  type WebhookView,
  webhook_errors,
} from "./contract.ts";
import type { WebhookNotices } from "./webhook_notices.ts";
import { newSecret, printOf, sealText, type WebhookKeys } from "./webhook_secret.ts";
import {
  countUnsettled,
  deleteWebhook,
  insertWebhook,
  type NoticeRow,
  selectNotices,
  selectWebhook,
  selectWebhooks,
  type WebhookRow,
} from "./webhook_store.ts";
import { parseWebhookUrl, placeOf } from "./webhook_url.ts";

export interface WebhookParts {
  storage: Storage;
  ledger: Ledger;
  clock: Clock;
  random: Random;
  ids: Ids;
  keys: WebhookKeys;
  notices: Pick<WebhookNotices, "test">;
  /** Whether this instance sends notices to addresses that are not public ones. */
  private_addresses: boolean;
}

/** Who is told of what. Another tenant's webhook is `WEBHOOK_UNKNOWN` everywhere. */
export class WebhookList {
  readonly #parts: WebhookParts;

  constructor(parts: WebhookParts) {
    this.#parts = parts;
  }

  /**
   * @param ask.events  default all.
   * @returns with the secret, which is never shown again.
   * @throws WEBHOOK_URL WEBHOOK_EVENTS WEBHOOK_LIMIT
   */
  async create(who: Principal, ask: { url: string; events?: string[] }): Promise<WebhookView & { secret: string }> {
    const { storage, ledger, clock, random, ids, keys, private_addresses } = this.#parts;
    const url = parseWebhookUrl(ask.url, private_addresses);
    const events = eventsOf(ask.events);
    const id = ids("whk");
    const secret = newSecret(random);
    const row: WebhookRow = {
      id,
      tenant_id: who.tenant,
      place: placeOf(url),
      url_sealed: sealText(keys, random, `${id}/url`, url.href),
      secret_sealed: sealText(keys, random, `${id}/secret`, secret),
      events_json: JSON.stringify(events),
      created_by: who.actor,
      created_at: clock.now(),
    };
    await storage.write(async (tx) => {
      if ((await selectWebhooks(tx, who.tenant)).length >= WEBHOOKS_PER_TENANT_MAX) {
        throw new GantryError(webhook_errors.LIMIT, {
          detail: `A tenant has at most ${WEBHOOKS_PER_TENANT_MAX} webhooks. Remove one that is not needed.`,
        });
      }
      insertWebhook(tx, row);
      ledger.append(tx, {
        kind: "webhook.created",
        tenant: who.tenant,
        actor: actorsOf(who),
        refs: [id],
        subjects: [{ table: "webhooks", id, row: { ...row } }],
        data: { webhook: id, events, url_hash: printOf(keys, url.href) },
      });
    });
    return { ...viewOf(row), secret };
  }

  /** Oldest first, all of them. */
  async list(who: Principal): Promise<WebhookView[]> {
    return this.#parts.storage.snapshot(async (reader) => {
      const counts = await countUnsettled(reader, who.tenant);
      return (await selectWebhooks(reader, who.tenant)).map((row) => viewOf(row, counts.get(row.id)));
    });
  }

  /** It is told nothing more, not even what waits. @throws WEBHOOK_UNKNOWN */
  async remove(who: Principal, id: string): Promise<void> {
    const { storage, ledger } = this.#parts;
    await storage.write(async (tx) => {
      const row = await demand(tx, who, id);
      deleteWebhook(tx, row.id);
      ledger.append(tx, {
        kind: "webhook.deleted",
        tenant: who.tenant,
        actor: actorsOf(who),
        refs: [row.id],
        subjects: [{ table: "webhooks", id: row.id, row: null }],
        data: { webhook: row.id },
      });
    });
  }

  /** Sends it a notice `webhook.test` as all others are sent. @throws WEBHOOK_UNKNOWN WEBHOOK_WAITING */
  async test(who: Principal, id: string): Promise<DeliveryView> {
    const row = await this.#parts.storage.write(async (tx) => this.#parts.notices.test(tx, await demand(tx, who, id)));
    if (row !== undefined) return deliveryOf(row);
    throw new GantryError(webhook_errors.WAITING, {
      detail: "As many notices of the tenant wait as may. Remove the webhook that does not answer, or wait.",
      retry_after_ms: 30_000,
    });
  }

  /** Newest first. @throws WEBHOOK_UNKNOWN */
  async deliveries(
    who: Principal,
    id: string,
    query: { cursor?: string; limit?: number },
  ): Promise<{ items: DeliveryView[]; next?: string }> {
    const { storage } = this.#parts;
    const { limit = DELIVERIES_PAGE_DEFAULT, cursor } = query;
    const webhook = await demand(storage, who, id);
    const rows = await selectNotices(storage, webhook.id, cursor, limit + 1);
    const items = rows.slice(0, limit).map(deliveryOf);
    const last = items.at(-1);
    return rows.length > limit && last !== undefined ? { items, next: last.id } : { items };
  }
}

async function demand(reader: Reader, who: Principal, id: string): Promise<WebhookRow> {
  const row = await selectWebhook(reader, who.tenant, id);
  if (row !== undefined) return row;
  throw new GantryError(webhook_errors.UNKNOWN, { detail: "The tenant has no webhook of this id." });
}

/** @throws WEBHOOK_EVENTS */
function eventsOf(asked: readonly string[] | undefined): WebhookEvent[] {
  if (asked === undefined) return [...WEBHOOK_EVENTS];
  const events = WEBHOOK_EVENTS.filter((event) => asked.includes(event));
  if (events.length === new Set(asked).size && events.length > 0) return events;
  throw new GantryError(webhook_errors.EVENTS, {
    detail: `A webhook is told of one or more of ${WEBHOOK_EVENTS.join(", ")}.`,
  });
}

function viewOf(row: WebhookRow, { waiting, dead } = { waiting: 0, dead: 0 }): WebhookView {
  const { id, place, events_json, created_by, created_at } = row;
  const events = JSON.parse(events_json) as WebhookEvent[];
  return { id, url: place, events, created_by, created_at, waiting, dead };
}

function deliveryOf({ body: _, tenant_id: _tenant, webhook_id: _webhook, ...view }: NoticeRow): DeliveryView {
  return view;
}

function actorsOf({ chain }: Principal): ActorRef[] {
  return chain.map(({ actor, kind }) => ({ actor, kind }));
}
