import { Gantry, type Me } from "@gantry/sdk";
import type { Context } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { sha256Hex } from "../kernel/hash.ts";
import { type ApiPort, NEXT_CHARS_MAX, SESSION_COOKIE } from "./contract.ts";

/** Who looks at a page, and what they may ask: exactly what their token may. */
export interface Visitor {
  me: Me;
  /** Asks this server's API as the visitor. */
  gantry: Gantry;
  /** Stands in each form of this session, and in no other's. */
  csrf: string;
}

/** The typed client of this very server. `token` undefined: nobody yet. */
export function clientOf(api: ApiPort, c: Context, token: string | undefined): Gantry {
  return new Gantry({ url: new URL(c.req.url).origin, token, fetch: api(c.env) });
}

/** The token of the visitor's session; undefined when there is none, or something that no token is. */
export function sessionOf(c: Context): string | undefined {
  const value = getCookie(c, SESSION_COOKIE);
  return value !== undefined && /^[\x21-\x7e]{1,200}$/.test(value) ? value : undefined;
}

/** Signs the visitor in. @param o.life_ms  of the token, from now. */
export function startSession(c: Context, o: { token: string; life_ms: number }): void {
  setCookie(c, SESSION_COOKIE, o.token, { ...attributesOf(c), maxAge: Math.max(0, Math.floor(o.life_ms / 1_000)) });
}

/** Makes the browser forget the session. */
export function endSession(c: Context): void {
  deleteCookie(c, SESSION_COOKIE, attributesOf(c));
}

/** What only who holds the session can know, without being the session. */
export function csrfOf(token: string): string {
  return sha256Hex(`gantry csrf ${token}`);
}

/**
 * Whether the browser says that another site sent this form. `Sec-Fetch-Site` is not sent to plain HTTP other than on
 * this host, and `Origin` is `null` under our `Referrer-Policy`: what says nothing is no reason, the form's own token is.
 */
export function isFromElsewhere(c: Context): boolean {
  const site = c.req.header("sec-fetch-site");
  if (site !== undefined) return site !== "same-origin" && site !== "none";
  const origin = c.req.header("origin");
  if (origin === undefined || origin === "null") return false;
  // The scheme is not compared: whoever ends TLS in front of this server speaks plain HTTP with it.
  return !URL.canParse(origin) || new URL(origin).host !== c.req.header("host");
}

/** A path of this server to go on to, or `/` when what was given is no such path. */
export function ownPath(given: string | undefined | null): string {
  if (given === undefined || given === null || given.length > NEXT_CHARS_MAX) return "/";
  // Browsers read \ as /, and leave out tabs and newlines: only what a path of ours can be made of is taken.
  if (!/^\/(?![/\\])[\w\-./?=&%:,~]*$/.test(given)) return "/";
  const base = "http://own.invalid";
  if (!URL.canParse(given, base)) return "/";
  const url = new URL(given, base);
  return url.origin === base && !url.pathname.startsWith("//") ? `${url.pathname}${url.search}` : "/";
}

function attributesOf(c: Context) {
  const secure = new URL(c.req.url).protocol === "https:";
  return { httpOnly: true, sameSite: "Strict", path: "/", secure } as const;
}
