import ipaddr from "ipaddr.js";
import type { AddressKind } from "../parts.ts";
import { isLiteral } from "./target.ts";

type Ip = ReturnType<typeof ipaddr.parse>;

/**
 * Where clouds answer a machine's own questions, credentials among them. AWS, Azure, Google, Oracle, Alibaba, Tencent, Scaleway,
 * Volcengine and OpenStack as their manuals have it; DigitalOcean, Hetzner, IBM and others answer at 169.254.169.254, too.
 */
const METADATA_ADDRESSES: ReadonlySet<string> = new Set([
  "169.254.169.254",
  "169.254.170.2", // ECS tasks
  "169.254.170.23", // EKS pods
  "169.254.0.23", // Tencent
  "169.254.42.42", // Scaleway
  "168.63.129.16", // Azure; a public address by its range
  "100.100.100.200", // Alibaba
  "100.96.0.96", // Volcengine
  "192.0.0.192", // Oracle
  "fd00:ec2::254",
  "fd00:ec2::23",
  "fd20:ce::254", // Google
  "fd00:c1::a9fe:a9fe", // Oracle
  "fd00:42::42", // Scaleway
  "fe80::a9fe:a9fe", // OpenStack
]);
const METADATA_NAMES: ReadonlySet<string> = new Set([
  "metadata",
  "metadata.goog",
  "metadata.google.internal",
  "metadata.azure.internal",
  "metadata.tencentyun.com",
  "metadata.packet.net",
  "metadata.platformequinix.com",
  "api.metadata.cloud.ibm.com",
  "instance-data",
  "instance-data.ec2.internal",
  "rancher-metadata",
  "rancher-metadata.rancher.internal",
]);

const UNWRAPS_MAX = 3;
/** RFC 6052, 2.1. */
const NAT64 = "64:ff9b::/96";
/** RFC 6052, 2.2: where the IPv4 address stands, by the length of the prefix; byte 8 is never part of it. */
const EMBEDDED: Partial<Record<number, readonly [number, number, number, number]>> = {
  32: [4, 5, 6, 7],
  40: [5, 6, 7, 9],
  48: [6, 7, 9, 10],
  56: [7, 9, 10, 11],
  64: [9, 10, 11, 12],
  96: [12, 13, 14, 15],
};
const LAST_FOUR = [12, 13, 14, 15] as const;

/** What an address is, whatever it is wrapped into. */
export interface JudgedAddress {
  kind: Exclude<AddressKind, "self">;
  /** The address as rules write it, and first in `faces`. */
  address: string;
  /** Itself, and every address that it stands for: a connection to it may end at any of them. */
  faces: readonly string[];
}

/**
 * Only public unicast is public. Wrapped addresses are what is in them: mapped, compatible and translated IPv4, NAT64,
 * 6to4, both ends of Teredo, ISATAP. The public IPv6 space is what IANA has given out of 2000::/3.
 * @param nat64  further prefixes of NAT64 in this network, as `2001:db8:64::/96`; lengths as RFC 6052, 2.2, has them.
 * @returns undefined: it is no address. One with a zone is private: it means something on this machine alone.
 */
export function judgeAddress(text: string, nat64: readonly string[]): JudgedAddress | undefined {
  const ip = parseIp(text.replace(/%.*$/s, ""));
  if (ip === undefined) return undefined;
  const faces: string[] = [];
  let kind: JudgedAddress["kind"] = text.includes("%") ? "private" : "public";
  let layer: Ip[] = [ip];
  for (let depth = 0; layer.length > 0; depth++) {
    const inner: Ip[] = [];
    for (const each of layer) {
      faces.push(textOf(each));
      const { within, is_transparent } = unwrap(each, nat64);
      inner.push(...within);
      if (METADATA_ADDRESSES.has(textOf(each))) kind = "metadata";
      if (kind === "public" && !is_transparent && !isPublic(each)) kind = "private";
    }
    if (depth === UNWRAPS_MAX && inner.length > 0 && kind === "public") kind = "private";
    layer = depth === UNWRAPS_MAX ? [] : inner;
  }
  return { kind, address: textOf(ip), faces };
}

/** Is it a name under which a cloud's metadata are asked for? Whatever it means here, nobody needs it for anything else. */
export function isMetadataName(host: string): boolean {
  return METADATA_NAMES.has(host);
}

/** RFC 6761, 6.3: these names mean this machine, and no resolver is asked. */
export function isLocalhost(host: string): boolean {
  return host === "localhost" || host.endsWith(".localhost");
}

/**
 * The addresses of a host that needs no resolver: an address is its own, and `localhost` is this machine.
 * @param host  of a `Target`.
 * @returns undefined: a resolver has to be asked.
 */
export function knownAddresses(host: string): readonly string[] | undefined {
  if (isLiteral(host)) return [host.replace(/^\[|\]$/g, "")];
  return isLocalhost(host) ? ["127.0.0.1", "::1"] : undefined;
}

function parseIp(text: string): Ip | undefined {
  // The parser also knows octal, hexadecimal and short forms, which no answer and no canonical host has.
  if (text.includes(":") ? !ipaddr.IPv6.isValid(text) : !ipaddr.IPv4.isValidFourPartDecimal(text)) return undefined;
  return ipaddr.parse(text);
}

/** As the URL standard and RFC 5952 write it, and so as rules have it. */
function textOf(ip: Ip): string {
  return ip instanceof ipaddr.IPv6 ? ip.toRFC5952String() : ip.toString();
}

function isPublic(ip: Ip): boolean {
  if (ip.range() !== "unicast") return false;
  return !(ip instanceof ipaddr.IPv6) || ((ip.toByteArray()[0] ?? 0) & 0xe0) === 0x20;
}

/** All addresses inside of one, by every form that it has; `is_transparent`: it is nothing but what is inside. */
function unwrap(ip: Ip, nat64: readonly string[]): { within: Ip[]; is_transparent: boolean } {
  if (!(ip instanceof ipaddr.IPv6)) return { within: [], is_transparent: false };
  const bytes = ip.toByteArray();
  const at = (places: readonly number[], mask = 0): Ip => {
    return ipaddr.fromByteArray(places.map((place) => (bytes[place] ?? 0) ^ mask));
  };
  const begins = (...start: number[]) => start.every((byte, i) => bytes[i] === byte);
  const zeros = (from: number, to: number) => bytes.slice(from, to).every((byte) => byte === 0);
  const within: Ip[] = [];
  // ::/96 (RFC 4291, 2.5.5.1; not :: and ::1), ::ffff:0:0/96 (2.5.5.2), ::ffff:0:0:0/96 (RFC 2765, 2.1).
  const is_compatible = zeros(0, 12) && !(zeros(12, 15) && (bytes[15] ?? 0) <= 1);
  const is_mapped = zeros(0, 10) && bytes[10] === 0xff && bytes[11] === 0xff;
  const is_translated = zeros(0, 8) && bytes[8] === 0xff && bytes[9] === 0xff && zeros(10, 12);
  if (is_compatible || is_mapped || is_translated) within.push(at(LAST_FOUR));
  for (const prefix of [NAT64, ...nat64]) {
    const [net, length] = ipaddr.parseCIDR(prefix);
    const places = EMBEDDED[length];
    if (places !== undefined && net instanceof ipaddr.IPv6 && ip.match(net, length)) within.push(at(places));
  }
  // 6to4: RFC 3056, 2. Teredo: RFC 4380, 4, of which the client's address has every bit turned over.
  if (begins(0x20, 0x02)) within.push(at([2, 3, 4, 5]));
  if (begins(0x20, 0x01, 0, 0)) within.push(at([4, 5, 6, 7]), at(LAST_FOUR, 0xff));
  const is_transparent = within.length > 0;
  // ISATAP: RFC 5214, 6.1. The network in front of it counts as well.
  if ((bytes[8] === 0 || bytes[8] === 2) && bytes[9] === 0 && bytes[10] === 0x5e && bytes[11] === 0xfe) {
    within.push(at(LAST_FOUR));
  }
  return { within, is_transparent };
}
