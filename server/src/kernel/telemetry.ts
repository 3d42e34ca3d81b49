/** The only place of metric and label names. `http/` adapts the seam to Prometheus. */

type MetricKind = "counter" | "histogram" | "gauge";
interface MetricDefinition {
  kind: MetricKind;
  help: string;
  labels: readonly string[];
  /** Upper bounds, histograms only; unit as in the name. */
  buckets?: readonly number[];
}

const LATENCY_SECONDS = [0.001, 0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30];
/** Batch runs may wait for minutes. */
const WAIT_SECONDS = [...LATENCY_SECONDS, 60, 120, 300, 600];
const COMMIT_SECONDS = [0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.1, 1];

export const METRICS = {
  gantry_run_startup_duration_seconds: {
    kind: "histogram",
    help: "From admission until the guest's code is loaded.",
    labels: ["lane", "isolation"],
    buckets: LATENCY_SECONDS,
  },
  gantry_run_completion_duration_seconds: {
    kind: "histogram",
    help: "From loaded code until the outcome.",
    labels: ["lane", "isolation"],
    buckets: LATENCY_SECONDS,
  },
  gantry_queue_wait_seconds: {
    kind: "histogram",
    help: "From submission until a slot was free.",
    labels: ["lane"],
    buckets: WAIT_SECONDS,
  },
  gantry_fairness_index: {
    kind: "gauge",
    help: "Jain's index of the slot time that tenants had in the last full minute, of those that waited throughout.",
    labels: ["lane"],
  },
  gantry_runs_ended_total: { kind: "counter", help: "Ended runs.", labels: ["lane", "termination"] },
  gantry_runs_refused_total: { kind: "counter", help: "Requests refused before a run existed.", labels: ["code"] },
  gantry_runs_active: { kind: "gauge", help: "Runs that hold a slot.", labels: [] },
  gantry_runs_queued: { kind: "gauge", help: "Runs that wait for a slot.", labels: ["lane"] },
  gantry_runners: { kind: "gauge", help: "Jailed processes by state.", labels: ["state"] },
  gantry_runner_boot_seconds: {
    kind: "histogram",
    help: "From spawn until primed.",
    labels: [],
    buckets: LATENCY_SECONDS,
  },
  gantry_runner_wait_seconds: {
    kind: "histogram",
    help: "How long claims of keyed runners waited that found none idle.",
    labels: ["kind"],
    buckets: LATENCY_SECONDS,
  },
  gantry_runners_retired_total: { kind: "counter", help: "Keyed runners let go, by reason.", labels: ["reason"] },
  gantry_override_total: {
    kind: "counter",
    help: "Human acts that reversed a decision or stopped an agent, by kind and by the contract's class.",
    labels: ["kind", "class"],
  },
  gantry_policy_decisions_total: {
    kind: "counter",
    help: "What was decided by contracts, by what was asked, the verdict, and the code of the first reason.",
    labels: ["point", "verdict", "code"],
  },
  gantry_egress_blocked_total: { kind: "counter", help: "Calls that guests tried and were refused.", labels: [] },
  gantry_egress_calls_total: {
    kind: "counter",
    help: "Calls at doors, by verdict and by the code of what stopped or broke them.",
    labels: ["verdict", "code"],
  },
  gantry_egress_duration_seconds: {
    kind: "histogram",
    help: "From a call's head until its last byte.",
    labels: [],
    buckets: LATENCY_SECONDS,
  },
  gantry_evidence_appended_total: { kind: "counter", help: "Ledger entries.", labels: ["kind"] },
  gantry_evidence_sealed_total: { kind: "counter", help: "Ledger entries in the signed log.", labels: [] },
  gantry_evidence_pending: { kind: "gauge", help: "Ledger entries that wait to be sealed.", labels: [] },
  gantry_evidence_seal_lag_seconds: {
    kind: "histogram",
    help: "How long the oldest entry of a sealing had waited for its checkpoint.",
    labels: [],
    buckets: LATENCY_SECONDS,
  },
  gantry_evidence_sink_lag_seconds: {
    kind: "gauge",
    help: "How long the oldest checkpoint that a witness lacks has waited.",
    labels: ["sink"],
  },
  gantry_storage_commit_seconds: {
    kind: "histogram",
    help: "One synced group commit.",
    labels: [],
    buckets: COMMIT_SECONDS,
  },
  gantry_storage_group_units: {
    kind: "histogram",
    help: "Units in one group commit.",
    labels: [],
    buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
  },
  gantry_webhook_attempts_total: {
    kind: "counter",
    help: "Notices that were sent to webhooks, by what came of it.",
    labels: ["outcome"],
  },
  gantry_gate_outcomes_total: { kind: "counter", help: "Decided approvals.", labels: ["outcome"] },
  gantry_gate_wait_seconds: {
    kind: "histogram",
    help: "How long approvals waited for the deciding vote.",
    labels: [],
    buckets: [1, 5, 15, 60, 300, 900, 3_600, 14_400, 86_400],
  },
  gantry_break_glass_total: { kind: "counter", help: "Quorums that a broken glass replaced.", labels: [] },
  gantry_timers_parked_total: { kind: "counter", help: "Timers given up after their last attempt.", labels: [] },
  gantry_tls_expiry_timestamp_seconds: {
    kind: "gauge",
    help: "When the listener's certificate expires, in seconds since 1970; absent without TLS.",
    labels: [],
  },
  gantry_http_requests_total: { kind: "counter", help: "Answered requests.", labels: ["route", "status"] },
} as const satisfies Record<string, MetricDefinition>;

export type MetricName = keyof typeof METRICS;
export type Labels = Record<string, string>;

/** The metrics seam. Labels must be exactly those of the definition. */
export interface Metrics {
  /** Adds to a counter. */
  add(name: MetricName, labels?: Labels, by?: number): void;
  /** Records one value of a histogram. */
  observe(name: MetricName, value: number, labels?: Labels): void;
  /** Sets a gauge. */
  set(name: MetricName, value: number, labels?: Labels): void;
}

export const noMetrics: Metrics = { add() {}, observe() {}, set() {} };
