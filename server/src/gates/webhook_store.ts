import { z } from "zod";
import type { AuditedTable } from "../evidence/contract.ts";
import type { ActorId, NoticeId, TenantId, WebhookId } from "../kernel/ids.ts";
import type { Migration, Reader, Tx } from "../storage/contract.ts";
import { WEBHOOK_EVENTS } from "./contract.ts";

/** `url_sealed` and `secret_sealed` open with a key that is not in the database. A webhook never changes: it is made and removed. */
export const migrations: Migration[] = [
  {
    id: "gates/0100",
    sql: `
      CREATE TABLE webhooks (
        id {text} NOT NULL PRIMARY KEY,
        tenant_id {text} NOT NULL REFERENCES tenants (id),
        place {text} NOT NULL,
        url_sealed {text} NOT NULL,
        secret_sealed {text} NOT NULL,
        events_json {text} NOT NULL,
        created_by {text} NOT NULL,
        created_at {int} NOT NULL
      );
      CREATE INDEX webhooks_tenant ON webhooks (tenant_id, id);
      CREATE TABLE notifications (
        id {text} NOT NULL PRIMARY KEY,
        tenant_id {text} NOT NULL,
        webhook_id {text} NOT NULL REFERENCES webhooks (id),
        event {text} NOT NULL,
        body {text} NOT NULL,
        state {text} NOT NULL CHECK (state IN ('waiting', 'delivered', 'dead')),
        attempts {int} NOT NULL,
        status {int},
        error {text},
        created_at {int} NOT NULL,
        due_at {int},
        settled_at {int}
      );
      CREATE INDEX notifications_webhook ON notifications (webhook_id, id);
      CREATE INDEX notifications_waiting ON notifications (tenant_id, state);
    `,
    tables: { webhooks: "audited", notifications: "operational" },
  },
];

const webhookRow = z.object({
  id: z.custom<WebhookId>(),
  tenant_id: z.custom<TenantId>(),
  place: z.string(),
  url_sealed: z.string(),
  secret_sealed: z.string(),
  events_json: z.string(),
  created_by: z.custom<ActorId>(),
  created_at: z.int(),
});
export type WebhookRow = z.infer<typeof webhookRow>;

const noticeRow = z.object({
  id: z.custom<NoticeId>(),
  tenant_id: z.custom<TenantId>(),
  webhook_id: z.custom<WebhookId>(),
  event: z.enum([...WEBHOOK_EVENTS, "webhook.test"]),
  body: z.string(),
  state: z.enum(["waiting", "delivered", "dead"]),
  attempts: z.int(),
  status: z.int().nullable(),
  error: z.string().nullable(),
  created_at: z.int(),
  due_at: z.int().nullable(),
  settled_at: z.int().nullable(),
});
export type NoticeRow = z.infer<typeof noticeRow>;

/** As an audit reads them. */
export const audited_tables: AuditedTable[] = [
  { table: "webhooks", id: "id", columns: Object.keys(webhookRow.shape), columnsOf: (row) => row },
];

export function insertWebhook(tx: Tx, row: WebhookRow): void {
  tx.run(
    `INSERT INTO webhooks (id, tenant_id, place, url_sealed, secret_sealed, events_json, created_by, created_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      row.id,
      row.tenant_id,
      row.place,
      row.url_sealed,
      row.secret_sealed,
      row.events_json,
      row.created_by,
      row.created_at,
    ],
    1,
  );
}

/** With all that it was to be told. */
export function deleteWebhook(tx: Tx, id: WebhookId): void {
  tx.run("DELETE FROM notifications WHERE webhook_id = ?", [id]);
  tx.run("DELETE FROM webhooks WHERE id = ?", [id], 1);
}

/** Of one tenant, oldest first; at most `WEBHOOKS_PER_TENANT_MAX`. */
export async function selectWebhooks(reader: Reader, tenant: TenantId): Promise<WebhookRow[]> {
  const rows = await reader.all("SELECT * FROM webhooks WHERE tenant_id = ? ORDER BY id", [tenant]);
  return rows.map((row) => webhookRow.parse(row));
}

export async function selectWebhook(reader: Reader, tenant: TenantId, id: string): Promise<WebhookRow | undefined> {
  const row = await reader.get("SELECT * FROM webhooks WHERE tenant_id = ? AND id = ?", [tenant, id]);
  return row === undefined ? undefined : webhookRow.parse(row);
}

export function insertNotice(tx: Tx, row: NoticeRow): void {
  tx.run(
    `INSERT INTO notifications (id, tenant_id, webhook_id, event, body, state, attempts, status, error, created_at,
       due_at, settled_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      row.id,
      row.tenant_id,
      row.webhook_id,
      row.event,
      row.body,
      row.state,
      row.attempts,
      row.status,
      row.error,
      row.created_at,
      row.due_at,
      row.settled_at,
    ],
    1,
  );
}

/** Nothing happens when its webhook was removed meanwhile. */
export function updateNotice(tx: Tx, row: NoticeRow): void {
  tx.run(
    `UPDATE notifications SET body = ?, state = ?, attempts = ?, status = ?, error = ?, due_at = ?, settled_at = ?
     WHERE id = ? AND state = 'waiting'`,
    [row.body, row.state, row.attempts, row.status, row.error, row.due_at, row.settled_at, row.id],
  );
}

/** What was settled before `at`. */
export function deleteSettled(tx: Tx, webhook: WebhookId, at: number): void {
  tx.run("DELETE FROM notifications WHERE webhook_id = ? AND state <> 'waiting' AND settled_at < ?", [webhook, at]);
}

export async function selectNotice(reader: Reader, id: string): Promise<NoticeRow | undefined> {
  const row = await reader.get("SELECT * FROM notifications WHERE id = ?", [id]);
  return row === undefined ? undefined : noticeRow.parse(row);
}

/** Newest first. @param before  the id that the page comes after. */
export async function selectNotices(
  reader: Reader,
  webhook: WebhookId,
  before: string | undefined,
  limit: number,
): Promise<NoticeRow[]> {
  const rows = await reader.all(
    `SELECT * FROM notifications WHERE webhook_id = ? AND id < ? ORDER BY id DESC LIMIT ${limit}`,
    [webhook, before ?? "n"],
  );
  return rows.map((row) => noticeRow.parse(row));
}

export async function countWaiting(reader: Reader, tenant: TenantId): Promise<number> {
  const row = await reader.get("SELECT count(*) AS n FROM notifications WHERE tenant_id = ? AND state = 'waiting'", [
    tenant,
  ]);
  return z.int().parse(row?.["n"]);
}

/** Notices of the tenant that wait or were given up, by webhook. */
export async function countUnsettled(
  reader: Reader,
  tenant: TenantId,
): Promise<Map<WebhookId, { waiting: number; dead: number }>> {
  const rows = await reader.all(
    `SELECT webhook_id, state, count(*) AS n FROM notifications
     WHERE tenant_id = ? AND state IN ('waiting', 'dead') GROUP BY webhook_id, state`,
    [tenant],
  );
  const counts = new Map<WebhookId, { waiting: number; dead: number }>();
  for (const row of rows) {
    const { webhook_id, state, n } = countRow.parse(row);
    counts.set(webhook_id, { waiting: 0, dead: 0, ...counts.get(webhook_id), [state]: n });
  }
  return counts;
}

const countRow = z.object({ webhook_id: z.custom<WebhookId>(), state: z.enum(["waiting", "dead"]), n: z.int() });
