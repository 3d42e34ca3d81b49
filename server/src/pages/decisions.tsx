import { isApiError, type ProblemDocument } from "@gantry/sdk";
import { answerRedirect } from "./answer.tsx";
import { type Refusal, showApproval } from "./approval.tsx";
import { GLASS_FORM_MINUTES_MAX } from "./contract.ts";
import { type PageApp, problem, type Sent } from "./session.tsx";

/** What is sent from an approval's page: a vote, a broken glass, the close of its review. */
export function decisionPages(app: PageApp): void {
  app.post("/approvals/:id/votes", (sent) => takeVote(sent));
  app.post("/approvals/:id/break-glass", (sent) => breakGlass(sent));
  app.post("/reviews/:id/close", (sent) => closeReview(sent));
}

/** Votes with the hash that the form was made for, so about what its page showed and nothing newer. */
async function takeVote(sent: Sent): Promise<Response> {
  const { form, visitor } = sent;
  const id = sent.c.req.param("id") ?? "";
  const vote = form.get("vote");
  const note = textOf(form, "note");
  const refused = (fault: ProblemDocument): Refusal => ({ act: "vote", problem: fault, text: note });
  if (vote !== "approve" && vote !== "decline") return showApproval(sent, id, refused(NO_VOTE));
  if (vote === "decline" && note === "") return showApproval(sent, id, refused(NO_REASON));
  const said = note === "" ? {} : { note };
  const ask = { vote, statement_hash: form.get("statement_hash") ?? "", ...said } as const;
  return decided(sent, id, () => visitor.gantry.approvals.vote(id, ask), refused);
}

async function breakGlass(sent: Sent): Promise<Response> {
  const { form, visitor } = sent;
  const id = sent.c.req.param("id") ?? "";
  const reason = textOf(form, "reason");
  const minutes = (form.get("minutes") ?? "").trim();
  const refused = (fault: ProblemDocument): Refusal => ({ act: "glass", problem: fault, text: reason, minutes });
  if (!/^\d{1,6}$/.test(minutes)) return showApproval(sent, id, refused(NO_MINUTES));
  const ask = { reason, minutes: Number(minutes), statement_hash: form.get("statement_hash") ?? "" };
  return decided(sent, id, () => visitor.gantry.approvals.breakGlass(id, ask), refused);
}

/** The form says of which approval the review is, so that a refusal can be shown on its page again. */
async function closeReview(sent: Sent): Promise<Response> {
  const { form, visitor } = sent;
  const approval = form.get("approval") ?? "";
  const note = textOf(form, "note");
  const refused = (fault: ProblemDocument): Refusal => ({ act: "review", problem: fault, text: note });
  if (note === "") return showApproval(sent, approval, refused(NO_FINDING));
  return decided(sent, approval, () => visitor.gantry.approvals.close(sent.c.req.param("id") ?? "", note), refused);
}

/** Does it and shows the approval as it then stands; a refusal is shown there too, with what was written. */
async function decided(
  sent: Sent,
  approval: string,
  work: () => Promise<unknown>,
  refused: (fault: ProblemDocument) => Refusal,
): Promise<Response> {
  try {
    await work();
  } catch (error) {
    if (!isApiError(error) || error.status === 401 || error.status === 404) throw error;
    return showApproval(sent, approval, refused(error.problem));
  }
  return answerRedirect(sent.c, `/approvals/${encodeURIComponent(approval)}`);
}

/** Browsers send line ends as two characters, and count them as one. */
function textOf(form: URLSearchParams, name: string): string {
  return (form.get(name) ?? "").replaceAll("\r\n", "\n").trim();
}

const NO_VOTE = problem(400, "VOTE_MISSING", "No vote was sent.", "Press Approve or Decline. Nothing was decided.");
const NO_REASON = problem(
  400,
  "VOTE_REASON_MISSING",
  "A decline needs its reason.",
  "Whoever asked should know why not. Nothing was decided yet.",
);
const NO_MINUTES = problem(
  400,
  "BREAK_GLASS_MINUTES",
  "A broken glass holds for a time.",
  `Write a whole number of minutes, from 1 to ${GLASS_FORM_MINUTES_MAX}.`,
);
const NO_FINDING = problem(
  400,
  "REVIEW_NOTE_MISSING",
  "A review says what it found.",
  "Write what you looked at and what you found. The review is still open.",
);
