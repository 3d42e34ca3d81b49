import { execFile, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type DoorGround, openDoorGround } from "../../../../tests/fixtures/door_ground.ts";
import { need } from "../../../../tests/fixtures/need.ts";
import { openUpstreams, type Upstreams } from "../../../../tests/fixtures/upstreams.ts";
import type { EgressRule } from "../../policy/contract.ts";

const run = promisify(execFile);
const missing = spawnSync("curl", ["--version"]).error === undefined ? undefined : "curl is not installed";
let ground: DoorGround;
let upstreams: Upstreams;
beforeAll(async () => {
  upstreams = openUpstreams();
  ground = await openDoorGround();
  ground.dns.addresses("api.example", ["127.0.0.2"]);
});
afterAll(async () => {
  await ground.remove();
  await upstreams.close();
});

it("curl calls through the door as through a socket and as through a proxy, follows redirects, and hears refusals", async (context) => {
  need(context, "curl", missing);
  const seen: string[] = [];
  const port = await upstreams.http((call, answer) => {
    seen.push(`${call.method} ${call.url} ${call.headers.authorization ?? "-"}`);
    if (call.url === "/moved") return void answer.writeHead(302, { location: "/new" }).end();
    call.pipe(answer);
  }, "127.0.0.2");
  const cut = await upstreams.saying("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", undefined, "127.0.0.2");
  const rule: EgressRule = {
    ...{
      hosts: ["api.example"],
      protocol: "http",
      ports: [port, cut],
      methods: ["GET", "POST"],
      paths: ["/moved", "/new", "/"],
    },
    ...{ private: true, addresses: ["127.0.0.2"] },
  };
  const { socket, door } = await ground.open([rule]);
  const proxy = createServer({ requireHostHeader: false }, (call, answer) => door.request(call, answer)).listen(
    0,
    "127.0.0.1",
  );
  await once(proxy, "listening");
  const by_proxy = ["-x", `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`];
  const by_socket = ["--unix-socket", socket];
  const curl = async (...args: string[]): Promise<string> =>
    (await run("curl", ["-sS", "--max-time", "10", ...args])).stdout;
  const url = `http://api.example:${port}`;
  for (const by of [by_proxy, by_socket]) {
    expect(await curl(...by, "-d", "sent", `${url}/`)).toBe("sent");
    expect(await curl(...by, "-L", "-H", "Authorization: Bearer x", "-w", "%{http_code}", `${url}/moved`)).toBe("200");
    expect(seen.splice(0)).toEqual(["POST / -", "GET /moved Bearer x", "GET /new Bearer x"]);
    expect(JSON.parse(await curl(...by, `${url}/elsewhere`))).toMatchObject({ code: "EGRESS_PATH" });
    // 18: the transfer was partial.
    await expect(curl(...by, `http://api.example:${cut}/`)).rejects.toMatchObject({ code: 18 });
  }
  proxy.closeAllConnections();
  proxy.close();
});
