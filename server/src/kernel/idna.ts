import { domainToASCII, domainToUnicode } from "node:url";

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
