import type { Context } from "hono";
import { describe, expect, it } from "vitest";
import { addressOf } from "./address.ts";

const from = (remoteAddress: string | undefined) =>
  addressOf({ env: { incoming: { socket: { remoteAddress } } } } as unknown as Context);

describe("whose failures are counted together", () => {
  it.each([
    ["192.0.2.1", "192.0.2.1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["::FFFF:192.0.2.1", "192.0.2.1"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8:1:2::6", "2001:db8:1:2::/64"],
    ["2001:db8::6", "2001:db8:0:0::/64"],
    ["2001:db8::5:6:7:8:9", "2001:db8:0:5::/64"],
    ["2001:DB8::1", "2001:db8:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
  ])("%s is %s", (address, counted) => {
    expect(from(address)).toBe(counted);
  });

  it("are nobody's where there is no connection", () => {
    expect(from(undefined)).toBeUndefined();
    expect(addressOf({ env: undefined } as unknown as Context)).toBeUndefined();
    expect(addressOf({ env: {} } as unknown as Context)).toBeUndefined();
  });
});
