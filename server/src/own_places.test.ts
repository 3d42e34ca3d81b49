import { networkInterfaces } from "node:os";
import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../tests/fixtures/virtual_clock.ts";
import { silentLogger } from "./kernel/log.ts";
import { addDatabase, createOwnPlaces } from "./own_places.ts";

const own = Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address));
const database = (url: string) => {
  const places = createOwnPlaces(new VirtualClock());
  return addDatabase(places, url, silentLogger).then(() => places);
};

describe("where Gantry itself is to be found", () => {
  it("is each of this machine's addresses, on a port that it listens at and no other", () => {
    const places = createOwnPlaces(new VirtualClock());
    expect(places.isSelf("127.0.0.1", 4280)).toBe(false);
    places.addPort(4280);
    for (const address of ["127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::", ...own]) {
      expect(places.isSelf(address, 4280), address).toBe(true);
      expect(places.isSelf(address, 4281), address).toBe(false);
    }
    for (const address of ["93.184.216.34", "2606:2800:220:1::1", "tracker.example.com"]) {
      expect(places.isSelf(address, 4280), address).toBe(false);
    }
  });

  it("is its database, at that one address when it is another machine's, at all of ours when it is here", async () => {
    const there = await database("postgres://gantry:pw@203.0.113.7:6432/gantry");
    expect([there.isSelf("203.0.113.7", 6432), there.isSelf("203.0.113.7", 5432)]).toEqual([true, false]);
    expect(there.isSelf("127.0.0.1", 6432)).toBe(false);
    const here = await database("postgres://gantry@localhost/gantry");
    for (const address of ["127.0.0.1", "127.0.0.2", "::1"]) expect(here.isSelf(address, 5432), address).toBe(true);
    const six = await database("postgres://gantry@[2001:db8::7]:6432/gantry");
    expect(six.isSelf("2001:db8::7", 6432)).toBe(true);
  });

  it("is not in a file system: no guest gets at a database's socket there", async () => {
    const places = await database("postgres://gantry@/gantry?host=/run/postgresql");
    expect(places.isSelf("127.0.0.1", 5432)).toBe(false);
  });
});
