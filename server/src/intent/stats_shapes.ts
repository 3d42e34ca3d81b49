import { z } from "@hono/zod-openapi";
import type { Exact } from "./contract.ts";

const count = z.number().int();
const ms = z.number().nullable();

/** Nearest-rank percentiles, milliseconds; null when nothing was measured. */
const spread = z.strictObject({ p50_ms: ms, p95_ms: ms, p99_ms: ms }).openapi("Spread");

const laneFigures = z
  .strictObject({
    ended: count.openapi({ description: "Runs that ended in the window, however they ended." }),
    ended_per_s: z.number().openapi({ description: "Of them in the last ten seconds, per second." }),
    by_termination: z
      .record(z.string(), count)
      .openapi({ description: "How they ended; what never occurred is left out." }),
    executed: count.openapi({ description: "Those that had a runner: the percentiles are of these." }),
    startup: spread.openapi({ description: "From admission until the guest's code was loaded." }),
    completion: spread.openapi({ description: "From loaded code until the outcome." }),
    queued: spread.openapi({
      description: "From the submission, or from what let it wait for a slot (people's approval), until it had one.",
    }),
  })
  .openapi("LaneFigures");
export type LaneFigures = Exact<z.output<typeof laneFigures>>;

const waiting = z.strictObject({
  count,
  oldest_ms: count.openapi({ description: "How long the one that came first has waited; 0 when none waits." }),
});

const denial = z.strictObject({
  what: z
    .enum(["run", "call"])
    .openapi({ description: "A run that ended `denied`, or a call of a run that was refused." }),
  code: z.string().nullable().openapi({ description: "Null: a call of a run that had no way out at all." }),
  count,
});
export type Denial = Exact<z.output<typeof denial>>;

const machine = z.strictObject({
  slots: z.strictObject({ used: count, of: count }).openapi({ description: "Of this node." }),
  runners: z.strictObject({
    jail: z.enum(["unshare", "bwrap", "none"]).nullable(),
    booting: count,
    warm: count.openapi({ description: "Primed, and nobody's yet." }),
    bound: count.openapi({ description: "Wait for the next run of their key." }),
    busy: count,
    waiting: count.openapi({ description: "Claims that wait for a process." }),
    boot_failures: count.openapi({ description: "In a row; 0 after a boot that succeeded." }),
  }),
  ledger: z.strictObject({
    entries: count,
    sealed: count.openapi({ description: "Of them in the signed log." }),
    lag_ms: count.openapi({ description: "How long the oldest that is not sealed has waited; 0 when all are." }),
  }),
  witnesses: z.array(
    z.strictObject({
      sink: z.string(),
      size: count,
      lag_ms: count.openapi({ description: "How long the oldest checkpoint that it lacks has waited." }),
      error: z.string().nullable(),
    }),
  ),
});
export type MachineFigures = Exact<z.output<typeof machine>>;

/** What the tenant's runs do now and did in the window, and how the machine is for whoever operates it. */
export const figures = z
  .strictObject({
    at: count,
    window_ms: count,
    runs: z.strictObject({
      sampled: z
        .boolean()
        .openapi({ description: "More runs ended in the window than are counted: these are the newest." }),
      since_at: count.openapi({ description: "What is counted begins here: the window, unless `sampled`." }),
      all: laneFigures,
      interactive: laneFigures,
      batch: laneFigures,
    }),
    running: count.openapi({ description: "Runs that have a slot." }),
    waiting: z.strictObject({
      interactive: waiting,
      batch: waiting,
      approval: waiting.openapi({ description: "Runs that wait for people." }),
    }),
    approvals: z
      .strictObject({
        count: count.openapi({ description: "Approvals that wait for people, whatever they are for." }),
        oldest_ms: count.openapi({ description: "How long the one that came first has waited; 0 when none waits." }),
        by_subject: z.record(z.string(), count).openapi({
          description:
            "By what they are for, as `run`, `contract` or `setting`; what nothing waits for is left out. A run that goes on may wait for one of its calls.",
        }),
      })
      .nullable()
      .openapi({ description: "Null without the scope `gate:read`." }),
    denials: z.strictObject({
      sampled: z.boolean().openapi({ description: "There were more; the newest are counted." }),
      items: z.array(denial).openapi({ description: "The most frequent first." }),
    }),
    machine: machine.nullable().openapi({ description: "Null without the scope `ops:read`." }),
  })
  .openapi("Figures");
export type Figures = Exact<z.output<typeof figures>>;
