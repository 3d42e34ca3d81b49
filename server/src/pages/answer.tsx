import type { Context } from "hono";
import type { JSX } from "hono/jsx/jsx-runtime";
import type { ContentfulStatusCode } from "hono/utils/http-status";

/** Nothing but our own style sheet is loaded, no script runs, no other site frames a page or is sent a form. */
const POLICY =
  "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/** Of every page, whatever its status. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": POLICY,
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
};

/** A whole document with its doctype: without one, browsers lay pages out as in 1998. */
export async function answerPage(
  c: Context,
  page: JSX.Element | Promise<JSX.Element>,
  status: ContentfulStatusCode = 200,
): Promise<Response> {
  const document = await (await page).toString();
  return c.body(`<!doctype html>${document}`, status, { ...PAGE_HEADERS, "content-type": "text/html; charset=utf-8" });
}

/** On to another page, by GET. @param path  of this server. */
export function answerRedirect(c: Context, path: string): Response {
  for (const [name, value] of Object.entries(PAGE_HEADERS)) c.header(name, value);
  return c.redirect(path, 303);
}
