import { describe, expect, it } from "vitest";
import { OUT_CONNECTIONS_MAX } from "../../server/src/execution/contract.ts";
import { eventually } from "../fixtures/eventually.ts";
import {
  accepted,
  BLOCK_BYTES,
  BLOCK_SOURCE,
  BLOCKS,
  BYE,
  block,
  type DoorGround,
  echoTunnel,
  echoWebSocket,
  hashOfBlocks,
  LONG_MS,
  MB,
  ok,
  ROOMY,
  refuseRaw,
  seeingDoor,
} from "./doors.ts";

/** For guests: asks its door how many of its sockets are open there. */
const COUNT = `
  const count = async () => (await fetch("http://api.test/")).text();
  const untilNone = async () => {
    for (let i = 0; i < 200 && (await count()) !== "0"; i++) await scheduler.wait(10);
    return count();
  };`;

/** What a guest has open for long: WebSockets, and tunnels of TCP. */
export function doorSockets({ guest, isAlone }: DoorGround): void {
  describe("WebSockets", () => {
    it("pass texts and bytes in both directions, and the door's close, for fetch and for new WebSocket", async () => {
      const door = seeingDoor({ upgrade: echoWebSocket });
      const body = `const talk = (socket) => new Promise((resolve, reject) => {
          const got = []; const big = "y".repeat(70_000);
          socket.binaryType = "arraybuffer";
          socket.addEventListener("message", ({ data }) => {
            got.push(typeof data === "string" ? data.length : [...new Uint8Array(data)]);
            if (got.length === 3) socket.send("${BYE}");
          });
          socket.addEventListener("close", ({ code }) => resolve([...got, code]));
          socket.addEventListener("error", ({ message }) => reject(new Error(message)));
          const say = () => { socket.send("hello"); socket.send(new Uint8Array([1, 2, 255])); socket.send(big); };
          if (socket.readyState === 1) say(); else socket.addEventListener("open", say);
        });
        const { status, webSocket } = await fetch("https://ws.test:8443/f", { headers: { upgrade: "websocket" } });
        webSocket.accept();
        const told = [status, await talk(webSocket)];
        for (const url of ["ws://ws.test/n?x", "wss://ws.test/n"]) told.push(await talk(new WebSocket(url)));
        return told;`;
      const talked = [5, [1, 2, 255], 70_000, 4001];
      expect(await guest(door, body)).toEqual([101, talked, talked, talked]);
      // The engine says http for ws, and https for wss.
      expect(door.seen.map(({ method, url }) => [method, url])).toEqual([
        ["GET", "https://ws.test:8443/f"],
        ["GET", "http://ws.test/n?x"],
        ["GET", "https://ws.test/n"],
      ]);
      await eventually(() => door.open.size === 0, "the sockets to be closed");
    });

    it("that the guest closes are closed for the door while the run goes on", async () => {
      const door = seeingDoor({
        request: (_call, answer) => void answer.end(String(door.open.size)),
        upgrade: echoWebSocket,
      });
      const body = `const { webSocket } = await fetch("http://ws.test/", { headers: { upgrade: "websocket" } });
        webSocket.accept(); webSocket.addEventListener("error", () => {});
        const before = await count(); webSocket.close(1000); return [before, await untilNone()];`;
      expect(await guest(door, body, { head: COUNT })).toEqual(["1", "0"]);
    });

    it("that are refused have the refusal's answer", async () => {
      const door = seeingDoor({});
      const told = await guest(
        door,
        `const answer = await fetch("https://ws.test/", { headers: { upgrade: "websocket" } });
        const error = await new Promise((resolve) => { new WebSocket("ws://ws.test/").onerror = (e) => resolve(e.message); });
        return [answer.status, answer.webSocket, await answer.text(), error.includes("403")];`,
      );
      expect(told).toEqual([403, null, "no!", true]);
    });
  });

  describe("tunnels", () => {
    const SPEAK = `const speak = async (address, text, read = true) => {
        const socket = connect(address); const writer = socket.writable.getWriter();
        await writer.write(new TextEncoder().encode(text)); await writer.close();
        let heard = ""; for await (const chunk of socket.readable) heard += new TextDecoder().decode(chunk);
        return heard; };`;

    it("arrive with host and port as the guest wrote them, and end when both sides have ended", async () => {
      const door = seeingDoor({ connect: echoTunnel });
      const addresses = ["db.test:5432", "10.0.0.1:1", "[2001:db8::1]:80", "DB.Test.:65535"];
      const told = await guest(
        door,
        `const heard = []; for (const address of input) heard.push(await speak(address, address));
        heard.push(await speak({ hostname: "db.test", port: 22 }, "object")); return heard;`,
        { head: SPEAK, input: addresses },
      );
      expect(told).toEqual([...addresses, "object"]);
      expect(door.seen.map(({ method, url, raw }) => [method, url, raw])).toEqual(
        [...addresses, "db.test:22"].map((address) => ["CONNECT", address, []]),
      );
      await eventually(() => door.open.size === 0, "the tunnels to be closed");
    });

    it("carry what node:net says, and a server that speaks first", async () => {
      const door = seeingDoor({
        connect: (call, socket, head) => {
          echoTunnel(call, socket, head);
          socket.write("220 ready ");
        },
      });
      const body = `return new Promise((resolve, reject) => {
          const socket = net.connect(25, "mail.test"); let heard = "";
          socket.on("error", reject).on("close", () => resolve(heard));
          socket.on("data", (chunk) => { const first = heard === ""; heard += chunk;
            if (first) socket.write("EHLO"); if (heard.endsWith("EHLO")) socket.end(); });
        });`;
      expect(await guest(door, body, { head: 'import net from "node:net";' })).toBe("220 ready EHLO");
    });

    it("carry 64 MiB byte for byte in both directions", { timeout: LONG_MS }, async () => {
      const door = seeingDoor({ connect: echoTunnel });
      const body = `const socket = connect("db.test:1"); const hash = createHash("sha256"); let bytes = 0;
        const said = (async () => { const writer = socket.writable.getWriter();
          for (let at = 0; at < BLOCKS; at++) await writer.write(block(at)); })();
        const reader = socket.readable.getReader();
        while (bytes < BLOCKS * BLOCK_BYTES) { const { value, done } = await reader.read(); if (done) break;
          hash.update(value); bytes += value.length; if (bytes % ${8 * MB} < value.length) await scheduler.wait(5); }
        await said; await socket.close();
        return [bytes, hash.digest("hex")];`;
      const head = `import { createHash } from "node:crypto"; ${BLOCK_SOURCE}`;
      const told = await guest(door, body, { head, limits: ROOMY });
      expect(told).toEqual([BLOCKS * BLOCK_BYTES, hashOfBlocks()]);
    });

    it("end for the door when the guest closes them while it is spoken to", async () => {
      const door = seeingDoor({
        request: (_call, answer) => void answer.end(String(door.open.size)),
        connect: (_call, socket) => {
          accepted(socket);
          const more = (): void => {
            while (!socket.destroyed && socket.write(block(0)));
          };
          socket.on("drain", more).resume();
          more();
        },
      });
      const body = `const socket = connect("db.test:1"); await socket.readable.getReader().read();
        const before = await count(); await socket.close(); return [before, await untilNone()];`;
      expect(await guest(door, body, { head: COUNT })).toEqual(["1", "0"]);
    });

    it("that are refused never carry a byte, and do not look like success for long", async () => {
      const door = seeingDoor({ connect: (_call, socket) => refuseRaw(socket) });
      const told = await guest(
        door,
        `const socket = connect("db.test:1");
        const states = [socket.opened, socket.closed].map((p) => p.then(() => "kept", () => "rejected"));
        const read = await socket.readable.getReader().read().then(({ value }) => value?.length ?? 0, () => 0);
        return [...await Promise.all(states), read];`,
      );
      // The engine tells a guest that its socket is open before it asks the worker that stamps it.
      const states = isAlone ? ["rejected", "rejected"] : ["kept", "kept"];
      expect(told).toEqual([...states, 0]);
      expect(door.seen).toHaveLength(1);
    });

    it("of 10,000 sockets are bounded, and the next run has a door", { timeout: LONG_MS }, async () => {
      const door = seeingDoor({
        request: ok,
        connect: (_call, socket) => {
          accepted(socket);
          socket.write("hi");
          socket.on("end", () => socket.end()).resume();
        },
      });
      // Not all at once, which a shared process has not the memory for: the run would be convicted of that instead.
      const body = `const kept = []; let served = 0;
        for (let batch = 0; batch < 20; batch++) {
          const all = Array.from({ length: 500 }, () => connect("db.test:1"));
          const heard = await Promise.all(all.map((socket) => socket.readable.getReader().read().then(({ done }) => !done, () => false)));
          kept.push(...all.filter((_, n) => heard[n]));
          served += heard.filter(Boolean).length;
        }
        return served;`;
      const served = (await guest(door, body, { limits: ROOMY })) as number;
      // The jail's own limit of open files is met first.
      expect(served).toBeGreaterThan(100);
      expect(door.most).toBeLessThanOrEqual(OUT_CONNECTIONS_MAX);
      await eventually(() => door.open.size === 0, "the engine to let go of an ended run's sockets");
      expect(await guest(door, 'return (await fetch("http://api.test/")).text();')).toBe("ok");
    });
  });
}
