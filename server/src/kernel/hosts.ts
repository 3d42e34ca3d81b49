import { domainToASCII, domainToUnicode } from "node:url";

/** Names and addresses as contracts write them and as requests are judged: canonical, so that equal means the same text. */

const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
const NAME_CHARS_MAX = 253;
/** Of the WHATWG URL standard, "ends in a number": what would be read as an IPv4 address, or as a broken one. */
const NUMERIC = /^(?:\d+|0x[0-9a-f]*)$/i;
const IPV4 = /^\d{1,3}(?:\.\d{1,3}){3}$/;

/**
 * Is it a host pattern? Labels in lower-case ASCII (IDNA already applied), no trailing dot; `*` is exactly one label,
 * `**` one or more, and no other label has a star in it. Or one address whole: `192.0.2.1`, `[2001:db8::1]`.
 */
export function isHostPattern(host: string): boolean {
  if (isAddressHost(host)) return true;
  const labels = host.split(".");
  if (host.length > NAME_CHARS_MAX || NUMERIC.test(labels.at(-1) ?? "")) return false;
  if (!labels.every((label) => label === "*" || label === "**" || LABEL.test(label))) return false;
  // An `xn--` label that is not what IDNA gives back would be sent as another name, or as none.
  return canonicalHost(labels.map((label) => (label.startsWith("*") ? "x" : label)).join(".")) !== undefined;
}

export function isExactHost(host: string): boolean {
  return !host.includes("*");
}

export function isAddressHost(host: string): boolean {
  return (IPV4.test(host) || host.startsWith("[")) && canonicalHost(host) === host;
}

/** `192.0.2.1` or `2001:db8::1`, each in the one form that RFC 5952 and the URL standard write. */
export function isAddress(text: string): boolean {
  return text.includes(":") ? isAddressHost(`[${text}]`) : IPV4.test(text) && isAddressHost(text);
}

/**
 * How the host is rightly written, or undefined when nothing like it is a host.
 * The parser of URLs does it: lower case, IDNA to ASCII, short and padded addresses to their one form.
 */
export function canonicalHost(host: string): string | undefined {
  if (/[/?#@\\%\s]/.test(host) || /:(?![^[]*\])/.test(host)) return undefined;
  const text = host.endsWith(".") ? host.slice(0, -1) : host;
  // A scheme with a default port that nothing here can be, so that no part of the text is taken for a port.
  const canonical = URL.canParse(`https://${text}/`) ? new URL(`https://${text}/`).hostname : undefined;
  return canonical !== undefined && hasSoundLabels(canonical) ? canonical : undefined;
}

/**
 * Does every label that claims to be an encoded one (RFC 5891: `xn--…`) stand for what it encodes? Parsers of URLs differ:
 * Node 20's refuses a label that decodes to nothing, Node 24's passes any of them on as it is, for others to read their way.
 * @param host  as a parser of URLs gives it.
 */
export function hasSoundLabels(host: string): boolean {
  return !host.includes("xn--") || host.split(".").every(isSound);
}

function isSound(label: string): boolean {
  if (!label.startsWith("xn--")) return true;
  const meant = domainToUnicode(label);
  return meant !== "" && meant !== label && domainToASCII(meant) === label;
}
