import { z } from "@hono/zod-openapi";
import { ACTOR_KINDS } from "../../identity/contract.ts";
import { LIMIT_NAMES } from "../../kernel/limits.ts";
import { ACTIONS, DATA_CLASSES, GATES_MAX, type PolicyContext, REQUIREMENTS, TOOL_RULES_MAX } from "../contract.ts";

/** UTF-16 code units of one text of a request. */
const TEXT_CHARS_MAX = 2_048;
const text = z.string().max(TEXT_CHARS_MAX);
const count = z.int().nonnegative();
const PORT_MAX = 65_535;
const PERCENT_MAX = 100;

export const contextSchema = z.strictObject({
  limits: z.partialRecord(z.enum(LIMIT_NAMES), count).optional(),
  target: text.optional(),
  carries: z.array(z.enum(REQUIREMENTS)).max(REQUIREMENTS.length).optional(),
  host: text.optional(),
  port: count.max(PORT_MAX).optional(),
  protocol: text.optional(),
  method: text.optional(),
  path: text.optional(),
  secret: text.optional(),
  tool: text.optional(),
  args: z
    .record(text, text)
    .refine((args) => Object.keys(args).length <= TOOL_RULES_MAX, `has at most ${TOOL_RULES_MAX} arguments`)
    .optional(),
  repo: text.optional(),
  app: text.optional(),
  flag: text.optional(),
  percent: count.max(PERCENT_MAX).optional(),
  data_class: z.enum(DATA_CLASSES).optional(),
  read_class: z.enum(DATA_CLASSES).optional(),
});

export const principalSchema = z.strictObject({ actor: text, kind: z.enum(ACTOR_KINDS), for: text });

export const askedSchema = z.strictObject({
  action: z.enum(ACTIONS),
  resource: text.openapi({ description: "`<kind>:<name>`, as `code:<hash>` or `repo:work/app`." }),
  gates: z.array(text).max(GATES_MAX).optional(),
  context: contextSchema.default({}),
});

/** What was parsed, without the members that are not there. */
export function contextOf(parsed: z.infer<typeof contextSchema>): PolicyContext {
  return Object.fromEntries(Object.entries(parsed).filter(([, value]) => value !== undefined)) as PolicyContext;
}
