import type { SettingGate, TenantSettings } from "../identity/contract.ts";
import { canonicalJson } from "../kernel/canonical.ts";
import {
  type ApprovalDraft,
  type Approvals,
  EXECUTE_BEFORE_MS_DEFAULT,
  type GateRule,
  NOT_AFTER_MS_DEFAULT,
} from "../policy/contract.ts";

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
  egress_deny: "hosts that no call goes to",
};
/** Hosts that a line names before it only counts them. */
const HOSTS_SHOWN_MAX = 64;

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
    .filter((name) => canonicalJson(before[name]) !== canonicalJson(after[name]))
    .map((name) => {
      const loosens = LOOSENS[name](before, after);
      return {
        at: `/${name}`,
        change: loosens ? ("widened" as const) : ("narrowed" as const),
        loosens,
        text: `${NAMES[name]}: ${name === "egress_deny" ? hostsChanged(before, after) : `${shown(before[name])} -> ${shown(after[name])}`}`,
      };
    })
    .sort((a, b) => Number(b.loosens) - Number(a.loosens));
}

const LOOSENS: Record<keyof TenantSettings, (before: TenantSettings, after: TenantSettings) => boolean> = {
  approval_independence: (_, after) => after.approval_independence === "principal",
  run_ms_day: (before, after) =>
    before.run_ms_day !== null && (after.run_ms_day === null || after.run_ms_day > before.run_ms_day),
  egress_deny: (before, after) => before.egress_deny.some((host) => !after.egress_deny.includes(host)),
};

function shown(value: TenantSettings[keyof TenantSettings]): string {
  return String(value ?? "unbounded");
}

/** Of a long list only what changes is worth reading, what is let go first. */
function hostsChanged(before: TenantSettings, after: TenantSettings): string {
  const gone = before.egress_deny.filter((host) => !after.egress_deny.includes(host));
  const come = after.egress_deny.filter((host) => !before.egress_deny.includes(host));
  const listed = (hosts: string[]): string => {
    const more = hosts.length - HOSTS_SHOWN_MAX;
    return `${hosts.slice(0, HOSTS_SHOWN_MAX).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
  };
  const parts = [gone.length > 0 ? `no longer ${listed(gone)}` : "", come.length > 0 ? `now ${listed(come)}` : ""];
  return parts.filter((part) => part !== "").join("; ");
}
