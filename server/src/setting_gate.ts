import type { SettingGate, TenantSettings } from "./identity/contract.ts";
import {
  type ApprovalDraft,
  type Approvals,
  EXECUTE_BEFORE_MS_DEFAULT,
  type GateRule,
  NOT_AFTER_MS_DEFAULT,
} from "./policy/contract.ts";

const GATE: GateRule = {
  on: "tenant.set",
  name: "settings",
  quorum: 1,
  not_after_ms: NOT_AFTER_MS_DEFAULT,
  execute_before_ms: EXECUTE_BEFORE_MS_DEFAULT,
};

/** How a person reads a setting. */
const NAMES: Record<keyof TenantSettings, string> = {
  approval_independence: "who may not approve",
  run_ms_day: "what all runs may use in one UTC day, ms",
};

/** Asks people about a change of settings that loosens: identity stands below the room that asks them. */
export function settingGate(approvals: Approvals): SettingGate {
  return {
    async request(tx, { who, before, after, params_hash }) {
      const draft: ApprovalDraft = {
        tenant: who.tenant,
        subject: "setting",
        subject_id: `settings@${before.settings_rev + 1}`,
        gate: GATE,
        action: { name: "tenant.set", resource: `tenant:${before.id}`, params_hash },
        code: null,
        snapshot: null,
        contract: null,
        target: null,
        blast_radius: {
          hosts: [],
          methods: [],
          apps: [],
          percent_max: null,
          effects_max: null,
          reversible: true,
          rollback: `Set it back with PATCH /v1/tenant: tightening holds at once.`,
        },
        preview: {
          summary: `${who.actor} wants to loosen the settings of the tenant ${before.slug}.`,
          why: null,
          delta: linesOf(before.settings, after),
          diff: null,
          provenance: {},
          verdict: { codes: ["GATE_REQUIRED"], rule: "A change of settings that loosens is decided by people." },
          rehearsal: null,
        },
        requester: { actor: who.actor, chain: who.chain, chain_hash: who.chain_hash },
        authors: [],
        privileged: true,
      };
      const { id, statement_hash } = await approvals.request(tx, draft);
      return { approval: id, statement_hash };
    },
  };
}

function linesOf(before: TenantSettings, after: TenantSettings): ApprovalDraft["preview"]["delta"] {
  const names = Object.keys(NAMES) as (keyof TenantSettings)[];
  return names
    .filter((name) => before[name] !== after[name])
    .map((name) => {
      const loosens =
        name === "approval_independence" ? after[name] === "principal" : raises(before[name], after[name]);
      return {
        at: `/${name}`,
        change: loosens ? ("widened" as const) : ("narrowed" as const),
        loosens,
        text: `${NAMES[name]}: ${before[name] ?? "unbounded"} -> ${after[name] ?? "unbounded"}`,
      };
    })
    .sort((a, b) => Number(b.loosens) - Number(a.loosens));
}

function raises(before: unknown, after: unknown): boolean {
  if (before === null) return false;
  return after === null || Number(after) > Number(before);
}
