import { isIPv6 } from "node:net";
import type { Context } from "hono";

/** Groups of an IPv6 address that name a network: who has one address of a /64 has all of them (RFC 4291, 2.5.4). */
const NETWORK_GROUPS = 4;

/**
 * Whose failures are counted together: the address at the other end of the connection, of IPv6 its /64. What headers
 * say is not asked: anybody can write them.
 * @returns undefined where there is no connection.
 */
export function addressOf(c: Context): string | undefined {
  const { incoming } = (c.env ?? {}) as { incoming?: { socket?: { remoteAddress?: string } } };
  const address = incoming?.socket?.remoteAddress;
  if (address === undefined || !isIPv6(address)) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  return mapped ?? `${networkOf(address)}::/64`;
}

function networkOf(address: string): string {
  const [bare = ""] = address.split("%");
  const [head = "", tail] = bare.split("::");
  const groups = head === "" ? [] : head.split(":");
  // What `::` leaves out is zeros; those in front of the network's end belong to it.
  const left = tail === undefined || tail === "" ? 0 : tail.split(":").length;
  if (tail !== undefined) while (groups.length < NETWORK_GROUPS && groups.length + left < 8) groups.push("0");
  const whole = [...groups, ...(tail ?? "").split(":")].slice(0, NETWORK_GROUPS);
  return whole.map((group) => group.toLowerCase()).join(":");
}
