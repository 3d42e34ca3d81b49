import type { CreatedWebhook, Delivery, Webhook, WebhookEvent } from "./approval_types.ts";
import { pagesOf, type Transport } from "./transport.ts";
import type { Page } from "./types.ts";

const PATH = "/v1/webhooks";

interface Stop {
  signal?: AbortSignal;
}

/** Who is told what happens to approvals. Every method throws `GantryApiError` or `GantryConnectionError`. */
export class Webhooks {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** All of the tenant, oldest first. */
  async list(options: Stop = {}): Promise<Webhook[]> {
    return (await this.#transport.json<{ items: Webhook[] }>({ method: "GET", path: PATH, ...options })).items;
  }

  /**
   * @param ask.events  default all.
   * @returns with the secret that signs each notice; it is never shown again.
   * @throws `WEBHOOK_URL` `WEBHOOK_EVENTS` `WEBHOOK_LIMIT`
   */
  add(ask: { url: string; events?: WebhookEvent[] }, options: Stop = {}): Promise<CreatedWebhook> {
    return this.#transport.json({ method: "POST", path: PATH, body: ask, ...options });
  }

  /** With all that it was to be told. @throws `WEBHOOK_UNKNOWN` */
  remove(id: string, options: Stop = {}): Promise<void> {
    return this.#transport.done({ method: "DELETE", path: pathOf(id), ...options });
  }

  /** Has one notice sent; what becomes of it stands among the deliveries. @throws `WEBHOOK_UNKNOWN` `WEBHOOK_WAITING` */
  test(id: string, options: Stop = {}): Promise<Delivery> {
    return this.#transport.json({ method: "POST", path: `${pathOf(id)}/test`, ...options });
  }

  /** One page, newest first. @throws `WEBHOOK_UNKNOWN` */
  deliveries(id: string, query: { cursor?: string; limit?: number } = {}, options: Stop = {}): Promise<Page<Delivery>> {
    return this.#transport.json({ method: "GET", path: `${pathOf(id)}/deliveries`, query: { ...query }, ...options });
  }

  /** All pages of deliveries. */
  deliveryPages(
    id: string,
    query: { limit?: number } = {},
    options: Stop = {},
  ): AsyncGenerator<Page<Delivery>, void, undefined> {
    const load = (cursor: string | undefined) =>
      this.deliveries(id, cursor === undefined ? query : { ...query, cursor }, options);
    return pagesOf(load);
  }
}

function pathOf(id: string): string {
  return `${PATH}/${encodeURIComponent(id)}`;
}
