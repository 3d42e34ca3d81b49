import { z } from "@hono/zod-openapi";
import { isStorableText } from "../kernel/canonical.ts";
import { isHostPattern } from "../kernel/hosts.ts";
import {
  ACTOR_KINDS,
  EGRESS_DENY_MAX,
  IDENTITY_PAGE_DEFAULT,
  IDENTITY_PAGE_MAX,
  KEY_USES,
  NAME_CHARS_MAX,
  RUN_MS_DAY_MAX,
  SCOPES,
} from "./contract.ts";

/** Ids of this room in paths and bodies: what is longer names nothing. */
const ID_CHARS_MAX = 64;
const CURSOR_CHARS_MAX = 64;

export const json = <S extends z.ZodType>(schema: S, description: string) => ({
  description,
  content: { "application/json": { schema } },
});
export const body = <S extends z.ZodType>(schema: S) => ({
  required: true,
  content: { "application/json": { schema } },
});
export const created_no_store = { "cache-control": "no-store" } as const;

export const idText = z.string().max(ID_CHARS_MAX);
export const idParam = z.object({ id: idText.openapi({ param: { name: "id", in: "path" } }) });
const count = z.number().int();
export const scopeList = z.array(z.enum(SCOPES)).max(SCOPES.length);
const nameText = z.string().min(1).max(NAME_CHARS_MAX).refine(isStorableText, "has U+0000 or a lone surrogate");

/** What every list takes. */
export const pageQuery = {
  cursor: z.string().max(CURSOR_CHARS_MAX).optional(),
  limit: z
    .string()
    .regex(/^\d{1,4}$/, "must be a whole number")
    .transform(Number)
    .refine((value) => value >= 1 && value <= IDENTITY_PAGE_MAX, `must be from 1 to ${IDENTITY_PAGE_MAX}`)
    .openapi({ type: "integer", minimum: 1, maximum: IDENTITY_PAGE_MAX })
    .optional(),
};

/** As the stores page: one more than is shown says whether there is a next page. */
export function pageAsked(query: { cursor?: string | undefined; limit?: number | undefined }) {
  const limit = query.limit ?? IDENTITY_PAGE_DEFAULT;
  return { after: query.cursor ?? "", limit: limit + 1, shown: limit };
}

/** @param key  what orders the list. */
export function pageOf<T>(items: T[], shown: number, key: (item: T) => string): { items: T[]; next?: string } {
  const page = items.slice(0, shown);
  const last = page.at(-1);
  return items.length > shown && last !== undefined ? { items: page, next: key(last) } : { items: page };
}

export const listOf = <S extends z.ZodType>(item: S) =>
  z.strictObject({ items: z.array(item), next: z.string().optional() });

export const chainLink = z.strictObject({
  actor: z.string(),
  kind: z.enum(ACTOR_KINDS),
  via: z.enum(["token", "key", "spawn", "schedule"]),
  ref: z.string(),
});

export const meView = z
  .strictObject({
    tenant: z.strictObject({ id: z.string(), slug: z.string() }),
    actor: z.strictObject({
      id: z.string(),
      kind: z.enum(ACTOR_KINDS),
      name: z.string(),
      team: z.string().nullable(),
    }),
    chain: z.array(chainLink.extend({ name: z.string() })),
    scopes: z.array(z.enum(SCOPES)),
    token: z.strictObject({ id: z.string(), kind: z.enum(["hum", "agt", "svc"]), expires_at: count }).nullable(),
    instance: z.string().openapi({ description: "The audience of signed tasks." }),
  })
  .openapi("Me");

export const actorSchema = z
  .strictObject({
    id: z.string(),
    tenant: z.string(),
    kind: z.enum(ACTOR_KINDS),
    name: z.string(),
    subject: z.string(),
    owner: z.string().nullable(),
    team: z.string().nullable(),
    ceiling: z.array(z.enum(SCOPES)).nullable(),
    state: z.enum(["active", "suspended", "gone"]),
    created_at: count,
  })
  .openapi("Actor");

export const actorRequest = z
  .strictObject({
    kind: z.enum(ACTOR_KINDS),
    name: nameText,
    subject: nameText.optional(),
    owner: idText.optional(),
    ceiling: scopeList.optional(),
    team: nameText.optional(),
  })
  .openapi("ActorRequest");

export const tokenSchema = z
  .strictObject({
    id: z.string(),
    actor: z.string(),
    kind: z.enum(["hum", "agt", "svc"]),
    last4: z.string(),
    scopes: z.array(z.enum(SCOPES)),
    parent: z.string().nullable(),
    chain: z.array(chainLink),
    state: z.enum(["live", "expired", "revoked"]),
    created_at: count,
    expires_at: count,
    revoked_at: count.nullable(),
  })
  .openapi("Token");

export const tokenRequest = z
  .strictObject({
    actor: idText.optional(),
    scopes: scopeList,
    life_ms: count.min(1).max(Number.MAX_SAFE_INTEGER).optional(),
    run: idText.optional().openapi({ description: "A live run, which the token starts further runs for." }),
  })
  .openapi("TokenRequest");

export const mintedToken = z
  .strictObject({
    id: z.string(),
    secret: z.string().openapi({ description: "Shown now and never again." }),
    expires_at: count,
  })
  .openapi("MintedToken");

export const keySchema = z
  .strictObject({
    kid: z.string(),
    actor: z.string(),
    uses: z.array(z.enum(KEY_USES)),
    public_jwk: z.strictObject({ kty: z.literal("OKP"), crv: z.literal("Ed25519"), x: z.string() }),
    state: z.enum(["active", "revoked"]),
    created_at: count,
  })
  .openapi("ActorKey");

export const keyRequest = z
  .strictObject({
    actor: idText.optional(),
    /** Strict: a private `d` that was sent by mistake is refused, and not kept. */
    public_jwk: z.strictObject({ kty: z.string().max(16), crv: z.string().max(16), x: z.string().max(64) }),
    uses: z.array(z.enum(KEY_USES)).min(1).max(KEY_USES.length),
  })
  .openapi("ActorKeyRequest");

export const settingsSchema = z.strictObject({
  approval_independence: z.enum(["principal", "independent"]),
  run_ms_day: count.min(0).max(RUN_MS_DAY_MAX).nullable(),
  egress_deny: z
    .array(
      z
        .string()
        .refine(
          isHostPattern,
          "is a host in lower case without scheme, port and trailing dot, e.g. api.example.com; * is one label, ** one or more",
        ),
    )
    .max(EGRESS_DENY_MAX),
});

export const tenantViewSchema = z
  .strictObject({
    id: z.string(),
    slug: z.string(),
    state: z.enum(["active", "suspended", "closed"]),
    settings: settingsSchema,
    settings_rev: count,
  })
  .openapi("OwnTenant");

export const tenantSchema = z
  .strictObject({
    id: z.string(),
    slug: z.string(),
    state: z.enum(["active", "suspended", "closed"]),
    created_at: count,
  })
  .openapi("Tenant");
