import { z } from "@hono/zod-openapi";
import { NEXT_STEPS } from "../kernel/errors.ts";
import { DATA_CLASSES } from "../policy/contract.ts";
import { PROTOCOLS, REDTEAM_RUNS_MAX } from "./contract.ts";

/** Bounded before they are judged; what is right is said by the room, without repeating it. */
const NAME_READ_MAX = 256;
const URL_READ_MAX = 32 * 1024;
const LIST_READ_MAX = 1_024;
/** More characters than any id has. */
export const ID_CHARS_MAX = 64;

const count = z.int().min(0);
const instant = z.int().openapi({ description: "Milliseconds UTC." });
const short = z.string().max(NAME_READ_MAX);

/** The name in a path. */
export const named = (example: string) =>
  z.object({ name: short.openapi({ param: { name: "name", in: "path" }, example }) });
/** The id in a path. */
export const identified = (example: string) =>
  z.object({
    id: z
      .string()
      .max(ID_CHARS_MAX)
      .openapi({ param: { name: "id", in: "path" }, example }),
  });

/** Text, or bytes: one of the two. */
export const secretValue = z
  .union([z.strictObject({ value: z.string() }), z.strictObject({ value_base64: z.base64() })])
  .openapi("SecretValue", { description: "UTF-8 text as `value`, or any bytes as `value_base64`." });

export const secretView = z
  .strictObject({
    name: z.string(),
    version: count,
    created_at: instant,
    actor: z.string().openapi({ description: "Who set it." }),
  })
  .openapi("Secret", { description: "Without its value, which nothing gives back." });

export const leaseView = z
  .strictObject({
    id: z.string(),
    subject: z.string().openapi({ description: "The run that holds it." }),
    secret: z.string(),
    hosts: z.array(z.string()),
    methods: z.array(z.string()),
    slot: z.string().openapi({ description: "`bearer`, `basic-password` or `header:<name>`." }),
    not_after_at: instant,
    revoked_at: instant.nullable(),
  })
  .openapi("Lease");

export const serviceFields = z.strictObject({
  class: short,
  environment: short,
  hosts: z.array(short).max(LIST_READ_MAX),
  protocol: z.enum(PROTOCOLS),
  ports: z.array(z.int()).max(LIST_READ_MAX).optional(),
  methods: z.array(short).max(LIST_READ_MAX).optional(),
  data_class: z.enum(DATA_CLASSES).optional(),
});
export const serviceEntry = serviceFields.extend({ name: short }).openapi("EgressService");

export const blockedCall = z
  .strictObject({
    id: z.string(),
    subject: z.string().openapi({ description: "The run that made the call." }),
    contract: z.strictObject({ name: z.string(), version: count }),
    code: z.string().openapi({ description: "Why it was stopped." }),
    method: z.string(),
    url: z.string(),
    body_bytes: count,
    state: z.enum(["waiting", "sent", "failed", "dropped", "expired"]),
    status: z.int().nullable().openapi({ description: "Of a retry that was answered." }),
    created_at: instant,
    expires_at: instant,
  })
  .openapi("BlockedEgressCall");

export const verdictRequest = z
  .strictObject({
    contract: short,
    url: z.string().max(URL_READ_MAX).openapi({ description: "For `tcp` and `tls` it is `host:port`." }),
    method: short.optional().openapi({ description: "Default `GET`." }),
    protocol: z.enum(PROTOCOLS).optional().openapi({ description: "Default: the URL's scheme." }),
  })
  .openapi("EgressQuestion");

const nextStep = z.strictObject({
  kind: z.enum(NEXT_STEPS),
  text: z.string(),
  command: z.string().optional(),
  rule: z.record(z.string(), z.unknown()).optional(),
  needs: z.literal("contract-change").optional(),
});

export const verdictView = z
  .strictObject({
    verdict: z.enum(["allow", "deny", "needs_human"]),
    rule: z.string().optional().openapi({ description: "The rule that decides." }),
    code: z.string().optional(),
    detail: z.string().optional(),
    next_steps: z.array(nextStep).optional(),
    service: z.string().optional(),
    environment: z.string().optional(),
  })
  .openapi("EgressVerdict");

export const redteamRequest = z
  .strictObject({
    runs: z.array(z.string().max(ID_CHARS_MAX)).min(1).max(REDTEAM_RUNS_MAX),
    hits: count.openapi({ description: "How often a canary was reached, or a program got what it should not." }),
  })
  .openapi("RedteamReport");

export const redteamRecord = z
  .strictObject({
    entry: z.string().openapi({ description: "The ledger entry that says all this." }),
    runs: count,
    attempts: count,
    blocked: count,
    completed: count,
    hits: count,
    verdict: z.enum(["held", "breached", "inconclusive"]),
    classes: z.array(
      z.strictObject({ run: z.string(), attempts: count, blocked: count, completed: count, termination: z.string() }),
    ),
  })
  .openapi("RedteamRecord");
