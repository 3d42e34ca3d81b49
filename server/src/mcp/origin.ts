/**
 * May a request with these headers come from where it says? Programs send no `Origin`; a page of this very server may.
 * A name is never good enough, even when `Host` has the same one: a page can make a name of its own mean this machine
 * (DNS rebinding), but no name makes an address, or `localhost`, its origin.
 */
export function isOwnOrigin(origin: string | undefined, own: string): boolean {
  if (origin === undefined) return true;
  if (!URL.canParse(origin)) return false;
  const said = new URL(origin);
  if (said.origin !== own) return false;
  // A URL's host that ends in a number is an IPv4 address, and one in brackets an IPv6 address (WHATWG URL, 3.5).
  return /^(localhost|\d+\.\d+\.\d+\.\d+|\[.+\])$/.test(said.hostname);
}
