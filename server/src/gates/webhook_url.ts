import { GantryError } from "../kernel/errors.ts";
import { WEBHOOK_URL_CHARS_MAX, webhook_errors } from "./contract.ts";

/**
 * Whether notices could go there. Which addresses may be reached is judged when a notice is sent: names move.
 * @param private_addresses  this instance sends to addresses that are not public ones, and so in clear text, too.
 * @returns the URL in its normal form, user and password included.
 * @throws WEBHOOK_URL  no detail repeats the URL: there may be a password in it.
 */
export function parseWebhookUrl(text: string, private_addresses: boolean): URL {
  if (text.length > WEBHOOK_URL_CHARS_MAX) {
    throw bad(`A webhook's URL has at most ${WEBHOOK_URL_CHARS_MAX} characters; this has ${text.length}.`);
  }
  if (!URL.canParse(text)) throw bad("This is no URL; one looks like https://hooks.example.com/gantry.");
  const url = new URL(text);
  const is_clear = url.protocol === "http:";
  if (is_clear && !private_addresses) {
    throw bad(
      "A webhook's URL begins with https:. An operator who says webhooks_private in the config file allows http: and " +
        "private addresses.",
    );
  }
  if (!is_clear && url.protocol !== "https:") throw bad(`A webhook's URL begins with https:, not ${url.protocol}`);
  if (url.hash !== "") throw bad("A webhook's URL has no fragment (#…): no server would see it.");
  return url;
}

/** What is shown of it: many receivers know their callers by a path or a query that is a secret. */
export function placeOf(url: URL): string {
  return url.pathname === "/" && url.search === "" ? url.origin : `${url.origin}/…`;
}

function bad(detail: string): GantryError {
  return new GantryError(webhook_errors.URL, { detail });
}
