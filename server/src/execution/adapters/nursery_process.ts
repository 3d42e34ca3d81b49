/**
 * The nursery: a small process that starts jails for the control plane. A fork copies the page tables of whoever forks,
 * and makes each page that it touches next a fault; the control plane is large, and would stand still for 20 ms at
 * every boot (measured at 150 MB, Node 20). Here it costs 5, and nobody waits.
 *
 * Orders come as lines of JSON on stdin, reports go out the same way on stdout. The three streams of a jail are
 * connections that we open to the control plane's socket and hand to the child.
 */
import { spawn } from "node:child_process";
import { connect, type Socket } from "node:net";
import { setPriority } from "node:os";
import { createInterface } from "node:readline";
import { type NurseryOrder, type NurseryReport, STREAMS } from "./nursery_protocol.ts";

const [, , socket_path = ""] = process.argv;

function report(message: NurseryReport): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** A connection that has said whose and which stream it is. */
function open(id: string, name: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(socket_path, () => socket.write(`${id} ${name}\n`, () => resolve(socket)));
    socket.on("error", reject);
  });
}

async function start({ id, command, cwd, nice }: NurseryOrder): Promise<void> {
  const streams = await Promise.all(STREAMS.map((name) => open(id, name)));
  const [file = "", ...args] = command;
  // From the main thread only: the death signal that takes jails down with us follows the spawning *thread*.
  const child = spawn(file, args, { stdio: streams, cwd, env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" } });
  for (const stream of streams) stream.destroy();
  child.on("error", (error) => report({ id, code: null, signal: null, error: error.message }));
  child.on("exit", (code, signal) => report({ id, code, signal }));
  if (child.pid === undefined) return;
  if (nice > 0) setPriority(child.pid, nice);
  report({ id, pid: child.pid });
}

const orders = createInterface({ input: process.stdin });
orders.on("line", (line) => {
  const order = JSON.parse(line) as NurseryOrder;
  start(order).catch((error: Error) => report({ id: order.id, code: null, signal: null, error: error.message }));
});
// The control plane is gone: so are the jails, by our own death.
orders.on("close", () => process.exit(0));
// Whoever stops a service may signal each of its processes; ours ends when the control plane has let its runs end.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
