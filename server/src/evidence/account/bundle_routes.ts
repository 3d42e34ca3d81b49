import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import type { Clock } from "../../kernel/clock.ts";
import {
  type Asker,
  BUNDLE_NAMES_MAX,
  BUNDLE_STALL_MS,
  ENTRY_PRIVATE_MAX,
  ENTRY_REF_CHARS_MAX,
  FIELD_NAME,
} from "../contract.ts";
import type { BundleAsk, BundleBytes, LogBundles } from "./bundle.ts";

const NDJSON = "application/x-ndjson";

/** Identity stands on the same floor, so its principal arrives as a type parameter. */
export interface BundleRouteDeps<Who extends Asker> {
  bundles: Pick<LogBundles, "make">;
  clock: Clock;
  identity: {
    /** @throws SCOPE_MISSING */
    demand(who: Who, scope: "evidence:export" | "evidence:audit"): void;
  };
}

const name = z.string().min(1).max(ENTRY_REF_CHARS_MAX);
const place = z.int().min(0);
const askSchema = z
  .strictObject({
    refs: z
      .array(name)
      .min(1)
      .max(BUNDLE_NAMES_MAX)
      .optional()
      .openapi({ description: "Entries that name one of these." }),
    ids: z.array(name).min(1).max(BUNDLE_NAMES_MAX).optional().openapi({ description: "Ids of entries." }),
    since: place.optional().openapi({ description: "Milliseconds UTC, inclusive." }),
    range: z
      .strictObject({ from: place, to: place })
      .optional()
      .openapi({ description: "Indices, `to` exclusive. Where others have entries, it takes `evidence:audit`." }),
    open: z
      .array(z.string().regex(FIELD_NAME, "a private field has 1 to 32 of a-z and _, a letter first"))
      .max(ENTRY_PRIVATE_MAX)
      .optional()
      .openapi({ description: "Private fields to open; recorded before anything is shown." }),
    consistency_from: place.optional().openapi({ description: "A size: proves that the log of then is a prefix." }),
  })
  .refine((ask) => [ask.refs, ask.ids, ask.since, ask.range].filter((one) => one !== undefined).length === 1, {
    message: "give exactly one of refs, ids, since and range",
  })
  .openapi("BundleAsk");

const bundleRoute = {
  method: "post",
  path: "/v1/evidence/bundles",
  summary: "Entries with what proves them, as a file that verifies without this server",
  request: { body: { required: true, content: { "application/json": { schema: askSchema } } } },
  responses: {
    200: {
      description:
        "A header, an entry a line, a trailer with a hash over all before it. Without the trailer it is cut off.",
      content: { [NDJSON]: { schema: z.string() } },
    },
    409: { description: "The entries are not sealed yet." },
    413: { description: "More entries than a bundle holds." },
    429: { description: "As many bundles are being made as may." },
  },
} as const;

interface BundleEnv<Who> {
  Variables: { who: Who; request: string };
}

/** Bundles over HTTP, for `evidence:export`. */
export function bundleRoutes<Who extends Asker>(deps: BundleRouteDeps<Who>): OpenAPIHono<BundleEnv<Who>> {
  const { bundles, clock, identity } = deps;
  const app = new OpenAPIHono<BundleEnv<Who>>();
  /** Before the schema is judged: who may not export learns nothing about how to ask. */
  const middleware: MiddlewareHandler<BundleEnv<Who>> = (c, next) => {
    identity.demand(c.get("who"), "evidence:export");
    return next();
  };
  app.openapi(createRoute({ ...bundleRoute, middleware }), async (c) => {
    const who = c.get("who");
    const ask = present(c.req.valid("json"));
    const bundle = await bundles.make(ask, who, () => identity.demand(who, "evidence:audit"));
    return c.body(streamOf(bundle, clock), 200, { "content-type": NDJSON, "cache-control": "no-store" });
  });
  return app;
}

/** Without the members that were not given. */
function present(asked: z.infer<typeof askSchema>): BundleAsk {
  return Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined));
}

/**
 * Made as it is taken: a slow reader makes the bundle wait, never the memory grow. One that takes nothing for
 * `BUNDLE_STALL_MS` is cut off, because its place is wanted.
 */
function streamOf(bundle: BundleBytes, clock: Clock): ReadableStream<Uint8Array> {
  let cancelStall = (): void => {};
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        cancelStall();
        const next = await bundle.chunks.next();
        if (next.done === true) {
          controller.close();
          return;
        }
        controller.enqueue(next.value);
        cancelStall = clock.after(BUNDLE_STALL_MS, () => {
          bundle.close();
          controller.error(new Error("nobody took the bundle"));
        });
      },
      cancel() {
        cancelStall();
        bundle.close();
      },
    },
    { highWaterMark: 1 },
  );
}
