import { type IncomingMessage, request as plainRequest } from "node:http";
import { request as secureRequest } from "node:https";
import type { LookupFunction } from "node:net";
import type { Sender, SenderAnswer, SenderRequest } from "../evidence/contract.ts";
import type { Clock } from "../kernel/clock.ts";
import { isPublicHost, publicLookup } from "./public_address.ts";

export interface SenderOptions {
  /**
   * Only to addresses of the public internet, judged after the name was resolved and by the address that is then
   * connected to, so that a name which changes its mind gains nothing. For URLs that callers choose.
   */
  public_only?: boolean;
}

/** One connection for each request, no redirect followed, everything that comes back bounded in time and bytes. */
export function createSender(clock: Clock, { public_only = false }: SenderOptions = {}): Sender {
  return { send: (request) => send(clock, request, public_only) };
}

function send(clock: Clock, asked: SenderRequest, public_only: boolean): Promise<SenderAnswer> {
  const { method, url, body, timeout_ms, answer_bytes_max, signal } = asked;
  const bytes = Buffer.from(body ?? "", "utf8");
  const content = { "content-type": "text/plain; charset=utf-8", "content-length": bytes.byteLength };
  const headers = { "user-agent": "gantry", ...(body === undefined ? {} : content), ...asked.headers };
  const { protocol, hostname } = new URL(url);
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new Error("the request was not begun"));
    // A host that is an address is not looked up at all.
    if (public_only && !isPublicHost(hostname)) return reject(new Error("the address is not a public one"));
    const lookup: { lookup?: LookupFunction } = public_only ? { lookup: publicLookup } : {};
    const open = protocol === "https:" ? secureRequest : plainRequest;
    const request = open(url, { method, headers, agent: false, ...lookup });
    const fail = (why: string): void => settle(() => reject(new Error(why)));
    const aborted = (): void => fail("the request was stopped");
    const cancel = clock.after(timeout_ms, () => fail(`no whole answer within ${timeout_ms / 1_000} s`));
    const settle = (act: () => void): void => {
      cancel();
      signal.removeEventListener("abort", aborted);
      act();
      request.destroy();
    };
    signal.addEventListener("abort", aborted);
    request.on("error", (error) => fail(`no answer: ${reasonOf(error)}`));
    request.on("response", (response) => {
      response.on("error", (error) => fail(`the answer broke off: ${reasonOf(error)}`));
      collect(response, answer_bytes_max, fail, (answer) => settle(() => resolve(answer)));
    });
    request.end(bytes);
  });
}

function collect(
  response: IncomingMessage,
  bytes_max: number,
  fail: (why: string) => void,
  done: (answer: SenderAnswer) => void,
): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  response.on("data", (chunk: Buffer) => {
    bytes += chunk.byteLength;
    if (bytes > bytes_max) fail(`the answer has more than ${bytes_max} bytes`);
    else chunks.push(chunk);
  });
  response.on("end", () => {
    const { statusCode: status = 0, headers } = response;
    done({ status, content_type: headers["content-type"] ?? "", body: new Uint8Array(Buffer.concat(chunks)) });
  });
}

/** Node's own word for it; messages of some errors name the address, none of these does. */
function reasonOf(error: Error): string {
  return "code" in error ? String(error.code) : "the connection failed";
}
