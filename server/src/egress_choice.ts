import { isIP } from "node:net";
import { dirname, resolve } from "node:path";
import ipaddr from "ipaddr.js";
import { z } from "zod";

/** How calls of guests leave this machine, as the config file says it. */
export interface EgressChoice {
  /** Name servers, `address` or `address:port`; undefined: those of the system. */
  resolvers: string[] | undefined;
  /** Absolute. Certificates of authorities that are believed besides the usual ones, PEM. */
  ca_files: string[];
  /** Prefixes by which this network's NAT64 puts IPv4 addresses into IPv6 ones, besides `64:ff9b::/96`. */
  nat64_prefixes: string[];
}

const RESOLVERS_MAX = 8;
const CA_FILES_MAX = 16;
const NAT64_PREFIXES_MAX = 8;
/** Lengths that RFC 6052, 2.2 knows. */
const NAT64_LENGTHS = [32, 40, 48, 56, 64, 96];

/** The member `egress` of the config file. */
export const egress_member = z.strictObject({
  resolvers: z
    .array(z.string().refine(isServer, "a name server is an address, as 192.0.2.1, 192.0.2.1:53 or [2001:db8::1]:53"))
    .min(1)
    .max(RESOLVERS_MAX)
    .optional(),
  ca_files: z.array(z.string().min(1)).max(CA_FILES_MAX).optional(),
  nat64_prefixes: z
    .array(z.string().refine(isNat64, `a prefix is IPv6 with a length of ${NAT64_LENGTHS.join(", ")}`))
    .max(NAT64_PREFIXES_MAX)
    .optional(),
});

/** @param path  of the config file: names of files are relative to its directory. */
export function egressChoice(given: z.infer<typeof egress_member> = {}, path = "."): EgressChoice {
  const { resolvers, ca_files = [], nat64_prefixes = [] } = given;
  return { resolvers, ca_files: ca_files.map((name) => resolve(dirname(path), name)), nat64_prefixes };
}

function isServer(text: string): boolean {
  const [, bracketed, plain, port = "53"] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const address = bracketed ?? plain ?? text;
  if (isIP(text) === 6) return true;
  return isIP(address) === (bracketed === undefined ? 4 : 6) && Number(port) > 0 && Number(port) < 65_536;
}

function isNat64(text: string): boolean {
  if (!ipaddr.IPv6.isValidCIDR(text)) return false;
  const [, length] = ipaddr.IPv6.parseCIDR(text);
  return NAT64_LENGTHS.includes(length);
}
