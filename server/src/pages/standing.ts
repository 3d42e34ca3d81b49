import type { Approval, ApprovalStatus, Me } from "@gantry/sdk";
import type { Tone } from "./parts.tsx";

/**
 * What somebody may do about an approval, as far as a page can know; the API judges each vote itself. `veto`: it is
 * approved and has not started, and one decline still ends it.
 */
export type Standing = { may: "decide" | "veto" } | { may: "nothing"; why: string };

/** @returns with the first reason that there is against it. */
export function standingOf(
  { status, excluded, statement, votes }: Approval,
  { actor, chain, scopes, token }: Me,
): Standing {
  const not = (why: string): Standing => ({ may: "nothing", why });
  if (status !== "pending" && status !== "approved") return not("It is decided.");
  if (actor.kind !== "human" || chain.length !== 1 || token?.kind !== "hum") {
    return not("Only a human decides, by a login of their own.");
  }
  const own = votes.find((vote) => vote.actor === actor.id);
  if (own !== undefined) return not(own.vote === "approve" ? "You have approved it." : "You have declined it.");
  if (statement.requester === actor.id) return not("You asked for it yourself.");
  if (statement.authors.includes(actor.id)) return not("You wrote what it is about.");
  if (excluded.includes(actor.id)) {
    return not("It was asked for in your name, and this tenant wants somebody independent.");
  }
  if (!scopes.includes("gate:approve")) return not("Your session has no scope gate:approve.");
  return { may: status === "pending" ? "decide" : "veto" };
}

/** How a status is shown: never by its colour alone. */
export const STATUS_WORDS: Readonly<Record<ApprovalStatus, readonly [words: string, tone: Tone]>> = {
  pending: ["waits", "wait"],
  approved: ["approved", "good"],
  executed: ["approved and started", "good"],
  declined: ["declined", "bad"],
  expired: ["expired", "plain"],
  superseded: ["superseded", "plain"],
  broken_glass: ["glass broken", "warn"],
};

/** `1 of 2`: people who said yes, of those that the gate asks for. */
export function votesText({ votes, statement }: Pick<Approval, "votes" | "statement">): string {
  return `${votes.filter(({ vote }) => vote === "approve").length} of ${statement.quorum}`;
}
