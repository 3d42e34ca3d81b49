import type { Approval, ApprovalStatus, BreakGlass, Me } from "@gantry/sdk";
import type { Tone } from "./parts.tsx";

/**
 * What somebody may do about an approval, as far as a page can know; the API judges each vote itself. `veto`: it is
 * approved and has not started, and one decline still ends it.
 */
export type Standing = { may: "decide" | "veto" } | { may: "nothing"; why: string };

/** @returns with the first reason that there is against it. */
export function standingOf({ status, excluded, statement, votes }: Approval, me: Me): Standing {
  const { actor, scopes } = me;
  const not = (why: string): Standing => ({ may: "nothing", why });
  if (status !== "pending" && status !== "approved") return not("It is decided.");
  if (!isOwnLogin(me)) return not("Only a human decides, by a login of their own.");
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

/** A human, by a token that nobody handed them. */
export function isOwnLogin({ actor, chain, token }: Me): boolean {
  return actor.kind === "human" && chain.length === 1 && token?.kind === "hum";
}

/** Whether somebody may decide it alone, as far as a page can know. Who asked for it may, too. */
export function mayBreakGlass({ status }: Approval, me: Me): boolean {
  return status === "pending" && isOwnLogin(me) && me.scopes.includes("gate:break_glass");
}

/** @returns why somebody may not close this review, as far as a page can know; undefined when they may. */
export function barOfReview({ actor }: BreakGlass, me: Me): string | undefined {
  if (!isOwnLogin(me)) return "Only a human reviews, by a login of their own.";
  if (actor === me.actor.id) return "You broke the glass, so somebody else reviews it.";
  return me.scopes.includes("gate:approve") ? undefined : "Your session has no scope gate:approve.";
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
