import type { IncomingMessage, ServerResponse } from "node:http";
import type { EgressDoor, EgressIdentity } from "../contract.ts";
import { OpenDoor } from "./core.ts";
import type { DoorDeps } from "./deps.ts";
import { passHop } from "./exchange.ts";
import { runEnded, toFault } from "./faults.ts";
import { type Guest, takeRest, tellFailure } from "./guest.ts";
import { type CallHead, readHead } from "./headers.ts";
import { answerNames } from "./names.ts";
import type { Hop } from "./redirects.ts";
import { keepStopped } from "./stopped.ts";
import { openTunnel } from "./tunnel.ts";
import { openWebSocket } from "./websocket.ts";

/** Where guests ask for names (RFC 8484); workerd's own `node:dns` does so by itself. */
const NAMES_PATH = "/dns-query";

/** One attempt's way out. It holds nothing open while nothing is called, but must be closed. */
export function openDoor(deps: DoorDeps, who: EgressIdentity): EgressDoor {
  const door = new OpenDoor(deps, who);
  const { clock, log } = deps;
  return {
    request(call, answer) {
      void passCall(door, call, answer);
    },
    connect(call, socket, head) {
      openTunnel(door, clock, call, socket, head).catch((error: unknown) => {
        toFault(error, log);
        socket.destroy();
      });
    },
    upgrade(call, socket, head) {
      openWebSocket(door, clock, call, socket, head).catch((error: unknown) => {
        toFault(error, log);
        socket.destroy();
      });
    },
    close: () => door.close(),
  };
}

/** A guest's call and its answer, whatever comes. Never rejects. */
async function passCall(door: OpenDoor, call: IncomingMessage, answer: ServerResponse): Promise<void> {
  const guest: Guest = { call, answer };
  const { clock, log } = door.deps;
  // Whoever hangs up is noticed by the close that follows; an error without a listener would end the process.
  answer.on("error", () => {});
  call.on("error", () => {});
  try {
    if (call.url?.includes(NAMES_PATH) === true && (await answerNames(door, call, answer))) return;
    await passHops(door, guest, readCounted(door, call));
    takeRest(call, clock);
  } catch (error) {
    tellFailure(guest, clock, toFault(error, log));
  }
}

function readCounted(door: OpenDoor, call: IncomingMessage): CallHead {
  try {
    return readHead(call);
  } catch (error) {
    const { code } = toFault(error, door.deps.log);
    door.count({ host: "?", method: call.method ?? "?", verdict: "denied", code });
    throw error;
  }
}

async function passHops(door: OpenDoor, guest: Guest, head: CallHead): Promise<void> {
  const { target, method, headers } = head;
  let hop: Hop | undefined = { target, method, headers, whole: undefined, n: 0 };
  while (hop !== undefined) {
    // A guest that is gone by now would not be noticed any more.
    if (guest.answer.destroyed) throw runEnded();
    const asked = { target: hop.target, method: hop.method };
    let live: Awaited<ReturnType<OpenDoor["admitCall"]>>;
    try {
      live = await door.admitCall(asked);
    } catch (error) {
      if (hop.n === 0) await keepStopped(door, guest, head, toFault(error, door.deps.log));
      throw error;
    }
    hop = await passHop({ door, guest, head, hop, live });
  }
}
