import { type Approval, type Gantry, isApiError } from "@gantry/sdk";
import { EXIT } from "../exit.ts";
import { Failure } from "../failure.ts";
import type { Terminal } from "../terminal.ts";
import type { Cast } from "./cast.ts";
import type { Stage } from "./stage.ts";
import { sayWays } from "./ways.ts";

const CTRL_C = "\u0003";

/**
 * Asks whoever sits at the terminal, as the owner of the installation; a decision that is made in the browser or in
 * another terminal meanwhile counts just as well.
 * @throws Failure exit 130 for Ctrl-C; exit 1 when the person declines, since the story then ends.
 */
export async function decideAtTerminal(stage: Stage, cast: Cast, approval: string, io: Terminal): Promise<Approval> {
  const { house } = cast;
  const link = await house.ownerLink(stage);
  stage.say("You are the owner of this installation. Decide in the browser, in another terminal, or here:");
  await sayWays(stage, house, link, approval);
  const settled = new AbortController();
  const signal = AbortSignal.any([stage.signal, settled.signal]);
  const elsewhere = house.owner.approvals.wait(approval, { signal });
  try {
    return await demandYes(await Promise.race([elsewhere, byKeys({ stage, cast, approval, link, io, signal })]));
  } finally {
    settled.abort();
    // It was left waiting, and whoever decided first has been heard.
    elsewhere.catch(() => undefined);
  }
}

async function demandYes(view: Approval): Promise<Approval> {
  if (view.status === "approved" || view.status === "executed") return view;
  throw new Failure(
    EXIT.threw,
    `The approval is ${view.status}: nothing was loosened, and the story ends here, as it should.`,
  );
}

interface Asked {
  stage: Stage;
  cast: Cast;
  approval: string;
  link: string;
  io: Terminal;
  signal: AbortSignal;
}

/** One key at a time: y, n or Ctrl-C. Never settles when the link was used elsewhere: then that person decides. */
function byKeys({ stage, cast, approval, link, io, signal }: Asked): Promise<Approval> {
  return new Promise((resolve, reject) => {
    io.stdout.write(`\n     ${stage.paint("bold", "Approve? [y/n]")} `);
    let busy = false;
    const release = io.onKey((typed) => {
      // Keys that were pressed quickly come together.
      const key = [...typed].find((each) => each === CTRL_C || VOTES.has(each.toLowerCase())) ?? "";
      if (key === CTRL_C) {
        release();
        io.stdout.write("\n");
        return reject(new Failure(EXIT.cancelled, "The demo was stopped."));
      }
      const vote = VOTES.get(key.toLowerCase());
      if (vote === undefined || busy) return;
      busy = true;
      io.stdout.write(`${key}\n`);
      castVote(cast.house.as(undefined), (token) => cast.house.as(token), { approval, link, vote }).then(
        (view) => {
          if (view === undefined) {
            busy = false;
            return stage.say("The link was used elsewhere: decide there, or press Ctrl-C.");
          }
          release();
          resolve(view);
        },
        (error: unknown) => {
          release();
          reject(error);
        },
      );
    });
    signal.addEventListener("abort", () => {
      release();
      if (!busy) io.stdout.write("\n");
    });
  });
}

const VOTES: ReadonlyMap<string, "approve" | "decline"> = new Map([
  ["y", "approve"],
  ["n", "decline"],
]);

/** Logs in by the link and votes on what is shown now. @returns undefined when the link is spent. */
async function castVote(
  nobody: Gantry,
  as: (token: string) => Gantry,
  { approval, link, vote }: { approval: string; link: string; vote: "approve" | "decline" },
): Promise<Approval | undefined> {
  let token: string;
  try {
    token = (await nobody.session.login(link)).token.secret;
  } catch (error) {
    if (isApiError(error) && error.code === "LOGIN_LINK_SPENT") return undefined;
    throw error;
  }
  const human = as(token);
  const statement_hash = await human.approvals.check(await human.approvals.get(approval));
  return human.approvals.vote(approval, { vote, statement_hash });
}
