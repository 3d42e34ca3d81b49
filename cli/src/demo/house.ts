import { join } from "node:path";
import { Gantry } from "@gantry/sdk";
import { EXIT } from "../exit.ts";
import { Failure } from "../failure.ts";
import { type DemoServer, serverAnswer, startServer } from "./server.ts";
import type { Stage } from "./stage.ts";

const LINK = /gtr_lnk_[0-9A-Za-z]{36}/;
/** The banner is written before the server says that it is ready, over another pipe. */
const BANNER_MS = 10_000;

/** The story's installation: one data directory, and the server that runs on it now. */
export interface House {
  /** Another one after each start. */
  readonly url: string;
  readonly data: string;
  /** By the token file of the data directory: it can do everything but approve. */
  readonly owner: Gantry;
  as(token: string | undefined): Gantry;
  /** The owner's first login link, as the server printed it. */
  ownerLink(stage: Stage): Promise<string>;
  /** A login link for another human. The server is stopped meanwhile: no route makes one, only who has the store does. */
  linkFor(subject: string): Promise<string>;
  stop(): Promise<void>;
}

/** @throws Failure exit 6 with what the server said, when it does not start. */
export async function openHouse(program: string, directory: string, env: NodeJS.ProcessEnv): Promise<House> {
  // A child of what was made: the server wants a directory that nobody else reads.
  const data = join(directory, "data");
  const first = await startServer(program, data, env);
  let now: DemoServer = first;
  return {
    get url() {
      return now.url;
    },
    data,
    get owner() {
      return now.gantry;
    },
    as: (token) => new Gantry({ url: now.url, token }),
    async ownerLink(stage) {
      await stage.until(() => LINK.test(first.printed()), BANNER_MS);
      return demandLink(LINK.exec(first.printed())?.[0]);
    },
    async linkFor(subject) {
      await now.stop();
      const answer = await serverAnswer(program, ["login-link", "--data", data, "--actor", subject], env);
      now = await startServer(program, data, env);
      return demandLink(LINK.exec(JSON.stringify(answer))?.[0]);
    },
    stop: () => now.stop(),
  };
}

function demandLink(link: string | undefined): string {
  if (link !== undefined) return link;
  throw new Failure(EXIT.lost, "The server gave no login link, so that nobody could decide.");
}
