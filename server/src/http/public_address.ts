import { lookup } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";

/** What no router of the public internet forwards (IANA special-purpose address registries, RFC 6890), and multicast. */
const PRIVATE_V4: readonly (readonly [string, number])[] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
];
/** Of IPv6 only global unicast is public, without what carries an IPv4 address inside (6to4, Teredo) and documentation. */
const GLOBAL_V6: readonly [string, number] = ["2000::", 3];
const PRIVATE_V6: readonly (readonly [string, number])[] = [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20],
];

function listOf(subnets: readonly (readonly [string, number])[], family: "ipv4" | "ipv6"): BlockList {
  const list = new BlockList();
  for (const [net, prefix] of subnets) list.addSubnet(net, prefix, family);
  return list;
}

const private_v4 = listOf(PRIVATE_V4, "ipv4");
const private_v6 = listOf(PRIVATE_V6, "ipv6");
const global_v6 = listOf([GLOBAL_V6], "ipv6");

/** Of an IP address: may it be one of a stranger? Mapped and embedded IPv4 addresses are no IPv6 addresses for this. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !private_v4.check(address, "ipv4");
  return family === 6 && global_v6.check(address, "ipv6") && !private_v6.check(address, "ipv6");
}

/** Of a URL's host: an address must be public, a name is judged when it is looked up. */
export function isPublicHost(hostname: string): boolean {
  const bare = hostname.replace(/^\[(.*)\]$/, "$1");
  return isIP(bare) === 0 || isPublicAddress(bare);
}

/** As `dns.lookup`; a name of which any address is not public has none. */
export const publicLookup: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    const [first] = addresses ?? [];
    if (error !== null) return callback(error, "", 0);
    if (first === undefined || !addresses.every(({ address }) => isPublicAddress(address))) {
      return callback(Object.assign(new Error("not public"), { code: "ADDRESS_NOT_PUBLIC" }), "", 0);
    }
    if (options.all === true) callback(null, addresses);
    else callback(null, first.address, first.family);
  });
};
