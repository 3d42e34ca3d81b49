import { z } from "zod";
import type { ActorRef } from "../evidence/contract.ts";
import { canonicalJson } from "../kernel/canonical.ts";
import { GantryError } from "../kernel/errors.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { TenantId } from "../kernel/ids.ts";
import type { Reader, Tx } from "../storage/contract.ts";
import {
  type ChainLink,
  EGRESS_DENY_MAX,
  type Principal,
  RUN_MS_DAY_MAX,
  type SettingGate,
  type TenantSettings,
  type TenantView,
  tenant_errors,
} from "./contract.ts";
import type { Desk } from "./desk.ts";
import { actorsOf, type RecordParts } from "./records.ts";
import { demandScope } from "./standing.ts";
import { selectTenant, type TenantRow } from "./store.ts";
import { deleteProposal, insertProposal, selectProposal, updateTenantSettings } from "./tenant_store.ts";

/** The tenant of whoever set Gantry up, where one person supervises agents of their own. */
export const DEFAULT_TENANT = "default";

/** A row has only what was ever set. */
const stored = z.object({
  approval_independence: z.enum(["principal", "independent"]).optional(),
  run_ms_day: z.int().min(0).max(RUN_MS_DAY_MAX).nullable().optional(),
  egress_deny: z.array(z.string()).max(EGRESS_DENY_MAX).optional(),
});

export function settingsOf(row: Pick<TenantRow, "slug" | "settings_json">): TenantSettings {
  const { approval_independence, run_ms_day = null, egress_deny = [] } = stored.parse(JSON.parse(row.settings_json));
  const level = row.slug === DEFAULT_TENANT ? "principal" : "independent";
  return { approval_independence: approval_independence ?? level, run_ms_day, egress_deny };
}

export function tenantView(row: TenantRow): TenantView {
  const { id, slug, state, settings_rev } = row;
  return { id, slug, state, settings: settingsOf(row), settings_rev };
}

/** @throws TENANT_UNKNOWN */
export async function readTenant(reader: Reader, tenant: TenantId): Promise<TenantRow> {
  const row = await selectTenant(reader, tenant);
  if (row === undefined) throw new GantryError(tenant_errors.UNKNOWN, { detail: `There is no tenant ${tenant}.` });
  return row;
}

/** Which settings differ, by name. */
function changedNames(before: TenantSettings, after: TenantSettings): (keyof TenantSettings)[] {
  const names = Object.keys(before).sort() as (keyof TenantSettings)[];
  return names.filter((name) => canonicalJson(before[name]) !== canonicalJson(after[name]));
}

/** Does the change let anything happen that could not before? */
export function loosens(before: TenantSettings, after: TenantSettings): boolean {
  const votes = before.approval_independence === "independent" && after.approval_independence === "principal";
  const budget = before.run_ms_day !== null && (after.run_ms_day === null || after.run_ms_day > before.run_ms_day);
  const hosts = before.egress_deny.some((host) => !after.egress_deny.includes(host));
  return votes || budget || hosts;
}

/** Sets in one order, without repeats: the same settings are the same text. */
function inOrder(settings: TenantSettings): TenantSettings {
  return { ...settings, egress_deny: [...new Set(settings.egress_deny)].sort() };
}

/** What an approval of a change is for: exactly these settings, in the place of exactly that revision. */
export function settingsHash(tenant: TenantId, base_rev: number, settings: TenantSettings): string {
  return sha256Hex(canonicalJson({ tenant, base_rev, settings }));
}

export type SettingsAnswer =
  | { done: true; tenant: TenantView }
  | { done: false; tenant: TenantView; approval: string; statement_hash: string };

/**
 * Changes settings of the caller's tenant. What tightens holds at once; a change in which anything loosens waits as a
 * whole for people. Nothing changed: nothing recorded.
 * @param rev  the revision that the caller has seen.
 * @throws SCOPE_MISSING TENANT_CONFLICT GATE_UNSATISFIABLE GATE_PENDING_MAX
 */
export function changeSettings(
  desk: Desk,
  gate: SettingGate,
  who: Principal,
  asked: { rev: number; settings: Partial<TenantSettings> },
): Promise<SettingsAnswer> {
  demandScope(who, "contract:propose");
  return desk.storage.write(async (tx) => {
    const row = await readTenant(tx, who.tenant);
    const before = tenantView(row);
    if (row.settings_rev !== asked.rev) {
      throw new GantryError(tenant_errors.CONFLICT, {
        detail: `The settings are at revision ${row.settings_rev}, not ${asked.rev}: read them again.`,
      });
    }
    const after = inOrder({ ...before.settings, ...asked.settings });
    if (changedNames(before.settings, after).length === 0) return { done: true, tenant: before };
    if (!loosens(before.settings, after)) {
      return { done: true, tenant: recordSettings(desk, tx, row, after, actorsOf(who.chain)) };
    }
    const params_hash = settingsHash(row.id, row.settings_rev, after);
    const { approval, statement_hash } = await gate.request(tx, { who, before, after, params_hash });
    const settings_json = canonicalJson(after);
    insertProposal(tx, { approval, tenant_id: row.id, base_rev: row.settings_rev, settings_json });
    return { done: false, tenant: before, approval, statement_hash };
  });
}

function recordSettings(
  parts: RecordParts,
  tx: Tx,
  before: TenantRow,
  settings: TenantSettings,
  by: ActorRef[],
  approval?: string,
): TenantView {
  const changed = changedNames(settingsOf(before), settings);
  const row = updateTenantSettings(tx, before, canonicalJson(settings));
  parts.ledger.append(tx, {
    kind: "tenant.changed",
    tenant: row.id,
    actor: by,
    refs: [row.id, ...(approval === undefined ? [] : [approval])],
    subjects: [{ table: "tenants", id: row.id, row: { ...row } }],
    data: { tenant: row.id, rev: row.settings_rev, changed, ...(approval === undefined ? {} : { approval }) },
  });
  return tenantView(row);
}

/** What the subject of a change of settings needs of a decided approval. */
export interface SettingDecided {
  id: string;
  tenant: TenantId;
  outcome: "approved" | "broken_glass" | "declined" | "expired" | "superseded";
  statement: { action: { params_hash: string } };
  by: readonly ChainLink[];
}

/**
 * The decision about a change that loosens, in the deciding unit: it is made, or comes to nothing.
 * @returns as a `Subject` of gates/ answers.
 */
export async function settingDecided(
  parts: RecordParts,
  tx: Tx,
  decided: SettingDecided,
): Promise<{ executed: true } | { stale: string } | undefined> {
  const proposal = await selectProposal(tx, decided.tenant, decided.id);
  deleteProposal(tx, decided.id);
  if (decided.outcome !== "approved" && decided.outcome !== "broken_glass") return undefined;
  const row = await readTenant(tx, decided.tenant);
  if (proposal === undefined || proposal.base_rev !== row.settings_rev) return { stale: "APPROVAL_STALE_ACTION" };
  const after = settingsOf({ slug: row.slug, settings_json: proposal.settings_json });
  // The proposal stands in a table that nothing guards; what people approved has this hash.
  if (settingsHash(row.id, row.settings_rev, after) !== decided.statement.action.params_hash) {
    return { stale: "APPROVAL_STALE_ACTION" };
  }
  recordSettings(parts, tx, row, after, actorsOf([...decided.by]), decided.id);
  return { executed: true };
}
