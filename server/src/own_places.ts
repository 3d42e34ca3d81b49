import { lookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";
import { networkInterfaces } from "node:os";
import type { Clock } from "./kernel/clock.ts";
import type { Logger } from "./kernel/log.ts";
import { placeOf } from "./storage/adapters/postgres_connection.ts";

/** How long this machine's list of its own addresses is believed: networks come and go. */
const OWN_FRESH_MS = 10_000;

/** Where Gantry itself is to be found, which no guest may call whatever its contract says. */
export interface OwnPlaces {
  /** A port of this machine, whichever of its addresses it listens at. */
  addPort(port: number): void;
  /** A port at other machines' addresses; where one is this machine's own, at all of those. */
  addPlace(addresses: readonly string[], port: number): void;
  /** @param address  without brackets and zone. */
  isSelf(address: string, port: number): boolean;
}

export function createOwnPlaces(clock: Clock): OwnPlaces {
  const ports = new Set<number>();
  const places = new Set<string>();
  let own: BlockList | undefined;
  let read_at = 0;
  const isOwn = (address: string): boolean => {
    const now = clock.monotonic();
    if (own === undefined || now - read_at > OWN_FRESH_MS) {
      own = ownAddresses();
      read_at = now;
    }
    const family = isIP(address);
    return family !== 0 && own.check(address, family === 4 ? "ipv4" : "ipv6");
  };
  return {
    addPort: (port) => void ports.add(port),
    addPlace(addresses, port) {
      if (addresses.some(isOwn)) ports.add(port);
      for (const address of addresses) places.add(`${address} ${port}`);
    },
    isSelf: (address, port) => (ports.has(port) && isOwn(address)) || places.has(`${address} ${port}`),
  };
}

/** Whatever of this machine answers for it, loopback and the addresses that mean it among them. */
function ownAddresses(): BlockList {
  const list = new BlockList();
  list.addSubnet("127.0.0.0", 8, "ipv4");
  list.addSubnet("0.0.0.0", 8, "ipv4");
  list.addAddress("::1", "ipv6");
  list.addAddress("::", "ipv6");
  for (const { address, family } of Object.values(networkInterfaces()).flatMap((each) => each ?? [])) {
    list.addAddress(address, family === "IPv4" ? "ipv4" : "ipv6");
  }
  return list;
}

/** Adds where the database is. One that is reached by a socket in the file system is out of every guest's reach. */
export async function addDatabase(places: OwnPlaces, url: string, log: Logger): Promise<void> {
  const [, host, port] = /@\[?([^/[\]]+?)\]?:(\d+)\//.exec(await placeOf(url)) ?? [];
  if (host === undefined || port === undefined) return;
  try {
    const found = isIP(host) === 0 ? await lookup(host, { all: true }) : [{ address: host }];
    places.addPlace(
      found.map(({ address }) => address),
      Number(port),
    );
  } catch (error) {
    // A store that is open was reached: the name has gone since, and with it the way there.
    log.warn({ error, host }, "the database's name has no address: calls to it are refused by their contracts alone");
  }
}
