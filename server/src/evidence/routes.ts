import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import type { TenantId } from "../kernel/ids.ts";
import {
  ENTRIES_PAGE_MAX,
  ENTRY_REF_CHARS_MAX,
  type EntryQuery,
  type EntryView,
  type LedgerReader,
} from "./contract.ts";

const ENTRIES_PAGE_DEFAULT = 50;
const KIND_CHARS_MAX = 64;
const NDJSON = "application/x-ndjson";

/** Identity stands on the same floor, so its principal arrives as a type parameter. */
export interface EvidenceRouteDeps<Who extends { tenant: TenantId }> {
  ledger: LedgerReader;
  identity: {
    /** @throws SCOPE_MISSING */
    demand(who: Who, scope: "evidence:read"): void;
  };
}

const querySchema = z.strictObject({
  ref: z.string().min(1).max(ENTRY_REF_CHARS_MAX).optional().openapi({ description: "An id that the entry names." }),
  kind: z
    .string()
    .max(KIND_CHARS_MAX)
    .regex(/^[a-z_]+\.[a-z_]+$/, "a kind is <noun>.<past participle>")
    .optional(),
  since: z.coerce.number().int().min(0).optional().openapi({ description: "Milliseconds UTC, inclusive." }),
  cursor: z
    .string()
    .regex(/^\d{1,15}$/, "a cursor is the `next` of a page or the `arrival` of an entry")
    .optional(),
  limit: z.coerce.number().int().min(1).max(ENTRIES_PAGE_MAX).default(ENTRIES_PAGE_DEFAULT),
  follow: z.enum(["0", "1"]).optional().openapi({ description: "1: NDJSON that goes on as entries arrive." }),
});

const entrySchema = z
  .object({
    id: z.string(),
    arrival: z.int().openapi({ description: "The cursor: rises with each entry." }),
    kind: z.string(),
    at: z.int().openapi({ description: "Milliseconds UTC." }),
    tenant: z.string(),
    actor: z.array(z.object({ actor: z.string(), kind: z.enum(["human", "agent", "service"]) })),
    refs: z.array(z.string()),
    snapshot: z.string().optional(),
    contract: z.object({ name: z.string(), version: z.int() }).optional(),
    decision: z.object({ verdict: z.string(), codes: z.array(z.string()) }).optional(),
    data: z.record(z.string(), z.unknown()),
    leaf: z.string().openapi({ description: "SHA-256(0x00 ‖ body), hex." }),
    sealed: z.boolean(),
  })
  .openapi("Entry");

const listRoute = {
  method: "get",
  path: "/v1/evidence/entries",
  summary: "Ledger entries of the tenant, in the order of their arrival",
  request: { query: querySchema },
  responses: {
    200: {
      description: `One page; with \`Accept: ${NDJSON}\` or \`follow=1\` one entry a line, an empty line is a sign of life.`,
      content: {
        "application/json": { schema: z.object({ items: z.array(entrySchema), next: z.string().optional() }) },
        [NDJSON]: { schema: z.string() },
      },
    },
    429: { description: "As many clients follow as may." },
  },
} as const;

const getRoute = {
  method: "get",
  path: "/v1/evidence/entries/{id}",
  summary: "One ledger entry",
  request: { params: z.object({ id: z.string().max(ENTRY_REF_CHARS_MAX) }) },
  responses: { 200: { description: "The entry.", content: { "application/json": { schema: entrySchema } } } },
} as const;

interface EvidenceEnv<Who> {
  Variables: { who: Who; request: string };
}

/** The ledger over HTTP, for `evidence:read`; a caller sees the entries of its own tenant only. */
export function evidenceRoutes<Who extends { tenant: TenantId }>(
  deps: EvidenceRouteDeps<Who>,
): OpenAPIHono<EvidenceEnv<Who>> {
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
      const left = new AbortController();
      const pages = deps.ledger.follow(query, left.signal);
      return c.body(stream(pages, left), 200, { "content-type": NDJSON, "cache-control": "no-store" });
    }
    const page = await deps.ledger.list(query);
    if (c.req.header("accept")?.includes(NDJSON)) return c.body(lines(page.items), 200, { "content-type": NDJSON });
    return c.json(page, 200);
  });
  app.openapi(createRoute({ ...getRoute, middleware }), async (c) => {
    return c.json(await deps.ledger.get(c.req.valid("param").id, c.get("who").tenant), 200);
  });
  return app;
}

/** Drops the members that were not given: an absent one does not narrow. */
function narrow(asked: Omit<z.infer<typeof querySchema>, "follow">, tenant: TenantId): EntryQuery {
  return {
    tenant,
    limit: asked.limit,
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
