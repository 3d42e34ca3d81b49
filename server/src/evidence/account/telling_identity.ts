import { z } from "zod";
import { instant, type Tell, telling } from "./telling.ts";
import { told } from "./told.ts";

const text = z.string();
const count = z.int();
const texts = z.array(text);

/** Tenants, actors, and what they prove themselves with. */
export const identity_tellings: Record<string, Tell> = {
  "token.minted": telling(
    z.object({ token: text, actor: text, scopes: texts, parent: text.nullable(), expires_at: count }),
    ({ token, actor, scopes, parent, expires_at }) => ({
      text: told`Token ${token} was minted for actor ${actor}.`,
      details: [
        told`Scopes: ${scopes}. It expires ${instant(expires_at)}.`,
        parent === null ? told`No token stands above it.` : told`Token ${parent} minted it.`,
      ],
    }),
  ),
  "token.revoked": telling(z.object({ token: text, actor: text, cause: text, override: text.optional() }), (data) => ({
    text: told`Token ${data.token} of actor ${data.actor} was revoked; cause: ${data.cause}.`,
    details:
      data.override === undefined ? [] : [told`A human ended an agent's token before its time: ${data.override}.`],
  })),
  "actor.created": telling(
    z.object({ actor: text, kind: text, name: text, owner: text.nullable() }),
    ({ actor, kind, name, owner }) => ({
      text: told`Actor ${actor} was created: ${kind}, named ${name}.`,
      details: owner === null ? [] : [told`Actor ${owner} answers for it.`],
    }),
  ),
  "actor.suspended": telling(z.object({ actor: text }), ({ actor }) => told`Actor ${actor} was suspended.`),
  "actor.resumed": telling(z.object({ actor: text }), ({ actor }) => told`Actor ${actor} may act again.`),
  "tenant.created": telling(z.object({ tenant: text, slug: text }), ({ tenant, slug }) => {
    return told`Tenant ${tenant} was created: ${slug}.`;
  }),
  "tenant.suspended": telling(z.object({ tenant: text }), ({ tenant }) => told`Tenant ${tenant} was suspended.`),
  "tenant.resumed": telling(z.object({ tenant: text }), ({ tenant }) => told`Tenant ${tenant} may act again.`),
  "tenant.changed": telling(
    z.object({ tenant: text, rev: count, changed: texts, approval: text.optional() }),
    ({ tenant, rev, changed, approval }) => ({
      text: told`Settings of tenant ${tenant} were changed: ${changed}.`,
      details: [
        told`They are revision ${rev} now.`,
        ...(approval === undefined ? [] : [told`People approved it: ${approval}.`]),
      ],
    }),
  ),
  "key.registered": telling(z.object({ key: text, actor: text, uses: texts }), ({ key, actor, uses }) => {
    return told`Key ${key} of actor ${actor} was registered, for ${uses}.`;
  }),
  "key.revoked": telling(z.object({ key: text, actor: text }), ({ key, actor }) => {
    return told`Key ${key} of actor ${actor} was revoked.`;
  }),
  "link.made": telling(
    z.object({ actor: text, scopes: texts, expires_at: count }),
    ({ actor, scopes, expires_at }) => ({
      text: told`A login link was made for actor ${actor}.`,
      details: [told`Scopes: ${scopes}. It expires ${instant(expires_at)}.`],
    }),
  ),
  "link.used": telling(z.object({ actor: text, token: text }), ({ actor, token }) => {
    return told`A login link of actor ${actor} was used; it gave token ${token}.`;
  }),
};
