import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import type { TenantId } from "../kernel/ids.ts";
import {
  type Asker,
  ENTRIES_PAGE_MAX,
  ENTRY_REF_CHARS_MAX,
  type EntryQuery,
  type EntryView,
  FIELD_NAME,
  type LedgerReader,
  type PrivateValues,
} from "./contract.ts";

const ENTRIES_PAGE_DEFAULT = 50;
const KIND_CHARS_MAX = 64;
const NDJSON = "application/x-ndjson";

/** Identity stands on the same floor, so its principal arrives as a type parameter. */
export interface EvidenceRouteDeps<Who extends Asker> {
  ledger: LedgerReader;
  values: PrivateValues;
  identity: {
    /** @throws SCOPE_MISSING */
    demand(who: Who, scope: "evidence:read" | "evidence:export"): void;
  };
}

const querySchema = z
  .strictObject({
    ref: z.string().min(1).max(ENTRY_REF_CHARS_MAX).optional().openapi({ description: "An id that the entry names." }),
    kind: z
      .string()
      .max(KIND_CHARS_MAX)
      .regex(/^[a-z_]+\.[a-z_]+$/, "a kind is <noun>.<past participle>")
      .optional(),
    since: z.coerce.number().int().min(0).optional().openapi({ description: "Milliseconds UTC, inclusive." }),
    cursor: z
      .string()
      .regex(/^\d{1,15}$/, "a cursor is the `next` of a page or the `index` of an entry")
      .optional(),
    order: z.enum(["oldest", "newest"]).default("oldest").openapi({
      description:
        "`oldest`: as they arrived. `newest` turns that round; a cursor must come from a page of the same order.",
    }),
    limit: z.coerce.number().int().min(1).max(ENTRIES_PAGE_MAX).default(ENTRIES_PAGE_DEFAULT),
    follow: z
      .enum(["0", "1"])
      .optional()
      .openapi({ description: "1: NDJSON that goes on as entries arrive, `oldest` first." }),
  })
  .refine(({ follow, order }) => follow !== "1" || order === "oldest", {
    path: ["order"],
    message: "what is followed comes in the order of its arrival: leave `order` out",
  });

const entrySchema = z
  .object({
    id: z.string(),
    kind: z.string(),
    at: z.int().openapi({ description: "Milliseconds UTC." }),
    tenant: z.string(),
    actor: z.array(z.object({ actor: z.string(), kind: z.enum(["human", "agent", "service"]) })),
    refs: z.array(z.string()),
    snapshot: z.string().optional(),
    contract: z.object({ name: z.string(), version: z.int() }).optional(),
    decision: z.object({ verdict: z.string(), codes: z.array(z.string()) }).optional(),
    data: z.record(z.string(), z.unknown()),
    commitments: z.record(z.string(), z.string()).optional().openapi({
      description: "Private fields by name, and what the body says of each: HMAC-SHA256, hex.",
    }),
    leaf: z.string().openapi({ description: "SHA-256(0x00 ‖ body), hex." }),
    sealed: z.boolean().openapi({ description: "False while the entry waits for its checkpoint." }),
    index: z
      .int()
      .optional()
      .openapi({ description: "The leaf's place in the log; there when sealed. It is the cursor." }),
  })
  .openapi("Entry");

const listRoute = {
  method: "get",
  path: "/v1/evidence/entries",
  summary: "Ledger entries of the tenant, in the order of their arrival or the newest first",
  request: { query: querySchema },
  responses: {
    200: {
      description:
        `One page; its last entries may still wait to be sealed. With \`Accept: ${NDJSON}\` or \`follow=1\` sealed ` +
        "entries only, one a line, and an empty line is a sign of life.",
      content: {
        "application/json": { schema: z.object({ items: z.array(entrySchema), next: z.string().optional() }) },
        [NDJSON]: { schema: z.string() },
      },
    },
    429: { description: "As many clients follow as may." },
  },
} as const;

const openedSchema = z.record(
  z.string(),
  z.object({
    key: z.base64().openapi({ description: "32 bytes: with it, the commitment to the value can be checked." }),
    value: z.base64().openapi({ description: "The value's bytes; text is UTF-8." }),
  }),
);

const getRoute = {
  method: "get",
  path: "/v1/evidence/entries/{id}",
  summary: "One ledger entry",
  request: {
    params: z.object({ id: z.string().max(ENTRY_REF_CHARS_MAX) }),
    query: z.strictObject({
      open: z
        .string()
        .regex(FIELD_NAME, "is the name of a private field")
        .optional()
        .openapi({ description: "A private field to show; needs `evidence:export`, and is itself recorded." }),
    }),
  },
  responses: {
    200: {
      description: "The entry.",
      content: { "application/json": { schema: entrySchema.extend({ opened: openedSchema.optional() }) } },
    },
  },
} as const;

interface EvidenceEnv<Who> {
  Variables: { who: Who; request: string };
}

/** The ledger over HTTP, for `evidence:read`; a caller sees the entries of its own tenant only. */
export function evidenceRoutes<Who extends Asker>(deps: EvidenceRouteDeps<Who>): OpenAPIHono<EvidenceEnv<Who>> {
  const app = new OpenAPIHono<EvidenceEnv<Who>>();
  /** Before the schema is judged: who may not read learns nothing about how to ask. */
  const middleware: MiddlewareHandler<EvidenceEnv<Who>> = (c, next) => {
    deps.identity.demand(c.get("who"), "evidence:read");
    return next();
  };
  app.openapi(createRoute({ ...listRoute, middleware }), async (c) => {
    const { follow, ...asked } = c.req.valid("query");
    const query = narrow(asked, c.get("who").tenant);
    if (follow === "1") {
      // A cursor of another log is refused now: once the stream has begun, there is no status left to say it with.
      if (query.cursor !== undefined) await deps.ledger.list({ ...query, sealed: true, limit: 1 });
      const left = new AbortController();
      const pages = deps.ledger.follow(query, left.signal);
      return c.body(stream(pages, left), 200, { "content-type": NDJSON, "cache-control": "no-store" });
    }
    if (c.req.header("accept")?.includes(NDJSON)) {
      const { items } = await deps.ledger.list({ ...query, sealed: true });
      return c.body(lines(items), 200, { "content-type": NDJSON });
    }
    return c.json(await deps.ledger.list(query), 200);
  });
  app.openapi(createRoute({ ...getRoute, middleware }), async (c) => {
    const who = c.get("who");
    const { open: field } = c.req.valid("query");
    const { id } = c.req.valid("param");
    if (field === undefined) return c.json(await deps.ledger.get(id, who.tenant), 200);
    deps.identity.demand(who, "evidence:export");
    const { key, value } = await deps.values.open(id, field, who);
    const opened = { [field]: { key: base64(key), value: base64(value) } };
    const entry = await deps.ledger.get(id, who.tenant);
    return c.json({ ...entry, opened }, 200, { "cache-control": "no-store" });
  });
  return app;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

/** Drops the members that were not given: an absent one does not narrow. */
function narrow(asked: Omit<z.infer<typeof querySchema>, "follow">, tenant: TenantId): EntryQuery {
  return {
    tenant,
    limit: asked.limit,
    order: asked.order,
    ...(asked.ref === undefined ? {} : { ref: asked.ref }),
    ...(asked.kind === undefined ? {} : { kind: asked.kind }),
    ...(asked.since === undefined ? {} : { since: asked.since }),
    ...(asked.cursor === undefined ? {} : { cursor: asked.cursor }),
  };
}

function lines(items: EntryView[]): string {
  return items.map((item) => `${JSON.stringify(item)}\n`).join("");
}

/** Pages on demand: a slow reader makes the ledger wait, never the memory grow. An empty page becomes an empty line. */
function stream(pages: AsyncIterableIterator<EntryView[]>, left: AbortController): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const page = await pages.next();
      if (page.done) controller.close();
      else controller.enqueue(encoder.encode(page.value.length === 0 ? "\n" : lines(page.value)));
    },
    cancel() {
      left.abort();
    },
  });
}
