import { isApiError, type ProblemDocument } from "@gantry/sdk";
import { Note, Said } from "./parts.tsx";

/** One part of a page: what the API answered, or why it did not. */
export type Part<T> = { is: "told"; value: T } | { is: "refused"; problem: ProblemDocument };

/** The end of a session: the whole page is refused with it, and not one part. */
const SESSION_STATUS = 401;

/**
 * Asks for one part of a page, so that what the visitor may not see leaves the rest in place.
 * @throws what is no refusal of the API, and a refusal of the session itself.
 */
export async function partOf<T>(work: Promise<T>): Promise<Part<T>> {
  try {
    return { is: "told", value: await work };
  } catch (error) {
    if (!isApiError(error) || error.status === SESSION_STATUS) throw error;
    return { is: "refused", problem: error.problem };
  }
}

/** The value, or nothing when it was refused: for what a page only adds. */
export function toldOf<T>(part: Part<T>): T | undefined {
  return part.is === "told" ? part.value : undefined;
}

/** Stands where a part is that was refused. @param what  as `the timeline`. */
export function Refused({ what, problem }: { what: string; problem: ProblemDocument }) {
  const lacks_scope = problem.code === "SCOPE_MISSING";
  return (
    <Note
      tone={lacks_scope ? "plain" : "warn"}
      title={lacks_scope ? `You may not see ${what}` : `There is no answer for ${what}`}
    >
      <p>
        <Said text={problem.detail} />
      </p>
      {lacks_scope ? <p>Who gave you this session can give you one with that scope.</p> : null}
    </Note>
  );
}
