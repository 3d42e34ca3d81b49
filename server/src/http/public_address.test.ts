import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../kernel/clock.ts";
import { isPublicAddress, isPublicHost, publicLookup } from "./public_address.ts";
import { createSender } from "./sender.ts";

describe("an address", () => {
  it.each([
    "0.0.0.0 10.0.0.1 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1 172.31.255.255",
    "192.0.0.1 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 255.255.255.255",
    ":: ::1 ::ffff:8.8.8.8 ::ffff:7f00:1 64:ff9b::808:808 fc00::1 fd12::1 fe80::1 fec0::1 ff02::1 100::1",
    "2001:db8::1 2002:7f00:1::1 2001::1 2001:10::1 3fff::1 4000::1 x 1.2.3 example.com",
  ])("that is special is not public: %s", (list) => {
    for (const address of list.split(" ")) expect(isPublicAddress(address), address).toBe(false);
  });

  it("of the internet is", () => {
    for (const address of "1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 192.169.0.1 223.255.255.255 2606:4700::1111 2a00:1450::1".split(
      " ",
    )) {
      expect(isPublicAddress(address), address).toBe(true);
    }
  });

  it("of a URL is judged in every way that it can be written; a name is judged later", () => {
    for (const url of [
      "http://0x7f.1",
      "http://2130706433",
      "http://0177.0.0.1",
      "http://[::1]",
      "http://[::ffff:10.0.0.1]",
      "http://127.1",
    ]) {
      expect(isPublicHost(new URL(url).hostname), url).toBe(false);
    }
    for (const url of ["http://8.8.8.8", "http://[2606:4700::1]", "http://localhost"]) {
      expect(isPublicHost(new URL(url).hostname), url).toBe(true);
    }
  });
});

it("a name that leads to this machine has no address", async () => {
  for (const all of [true, false]) {
    const error = await new Promise((resolve) => publicLookup("localhost", { all }, (found) => resolve(found)));
    expect(error).toMatchObject({ code: "ADDRESS_NOT_PUBLIC" });
  }
});

describe("a sender that goes to public addresses only", () => {
  let requests = 0;
  const server = createServer((_, response) => {
    requests += 1;
    response.end("here");
  });
  beforeAll(() => new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve)));
  afterAll(() => void server.close());
  const ask = (host: string, public_only: boolean) => {
    const { port } = server.address() as AddressInfo;
    const bounds = { timeout_ms: 5_000, answer_bytes_max: 10, signal: new AbortController().signal };
    return createSender(systemClock(), { public_only }).send({
      method: "POST",
      url: `http://${host}:${port}/`,
      body: "x",
      headers: { "content-type": "application/json" },
      ...bounds,
    });
  };

  it("does not reach loopback, by address or by name; the other one does", async () => {
    expect((await ask("127.0.0.1", false)).status).toBe(200);
    await expect(ask("127.0.0.1", true)).rejects.toThrow("the address is not a public one");
    expect((await ask("localhost", false)).status).toBe(200);
    await expect(ask("localhost", true)).rejects.toThrow("no answer: ADDRESS_NOT_PUBLIC");
    expect(requests).toBe(2);
  });
});
