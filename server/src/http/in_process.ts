import { assert } from "../kernel/assert.ts";

type Answer = (request: Request, env: object) => Response | Promise<Response>;

/**
 * `fetch` of this very server, for rooms that are clients of its API. What a wire would do for a request is done here:
 * its body states its length, by which the limits of bodies judge it, and whoever aborts hears no more of it, whatever
 * the answer still waits for.
 * @returns for the connection that the asker came by (`env` of its own request): failures are counted as that address's.
 */
export function inProcess(answer: Answer): (env: unknown) => typeof globalThis.fetch {
  return (env) =>
    async (input, init = {}) => {
      init.signal?.throwIfAborted();
      const request = new Request(input, stated(init));
      return heard(Promise.resolve(answer(request, (env ?? {}) as object)), init.signal);
    };
}

function stated(init: RequestInit): RequestInit {
  const { body } = init;
  if (body === undefined || body === null) return init;
  assert(typeof body === "string", "what is asked in the process has its body as text");
  const headers = new Headers(init.headers);
  headers.set("content-length", String(Buffer.byteLength(body)));
  return { ...init, headers };
}

function heard(answer: Promise<Response>, signal: AbortSignal | null | undefined): Promise<Response> {
  if (signal === undefined || signal === null) return answer;
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    answer.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
