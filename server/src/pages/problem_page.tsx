import type { ProblemDocument } from "@gantry/sdk";
import { Layout } from "./layout.tsx";
import { Facts, Hash, Note, Said } from "./parts.tsx";
import type { Visitor } from "./visitor.ts";

/** What was refused, why, and what to do: the members of a problem document, as a person reads them. */
export function ProblemNote({ problem, role }: { problem: ProblemDocument; role?: "alert" }) {
  const { title, detail, reasons = [], problems = [], next_steps = [] } = problem;
  return (
    <Note tone={problem.status >= 500 ? "bad" : "warn"} title={title} role={role}>
      {detail === title ? null : (
        <p>
          <Said text={detail} />
        </p>
      )}
      {reasons.length + problems.length === 0 ? null : (
        <ul>
          {reasons.map((reason) => (
            <li>
              <code>{reason.code}</code> <Said text={reason.detail} />
            </li>
          ))}
          {problems.map(({ at, text }) => (
            <li>
              {at === "" ? null : <code>{at}</code>} <Said text={text} />
            </li>
          ))}
        </ul>
      )}
      {next_steps.map(({ text, command }) => (
        <p>
          <Said text={command === undefined ? text : text.replace(/\.$/, "")} />
          {command === undefined ? null : (
            <>
              : <Hash value={command} />
            </>
          )}
        </p>
      ))}
    </Note>
  );
}

/** A page for a refusal. @param written  what the visitor had written, so that it is not lost. */
export function ProblemPage({
  problem,
  visitor,
  written,
}: {
  problem: ProblemDocument;
  visitor?: Visitor | undefined;
  written?: string | undefined;
}) {
  const signed_out = problem.status === 401;
  return (
    <Layout title={problem.title} visitor={visitor}>
      <h1>{headOf(problem.status)}</h1>
      <ProblemNote problem={problem} />
      <Written text={written} />
      <Facts
        rows={[
          ["code", <code>{problem.code}</code>],
          ["request", problem.request === undefined ? null : <Hash value={problem.request} />],
        ]}
      />
      <p>{signed_out ? <a href="/login">Sign in</a> : <a href="/">Back to the inbox</a>}</p>
    </Layout>
  );
}

/** What somebody wrote into a form that was not taken. */
export function Written({ text }: { text: string | undefined }) {
  if (text === undefined || text.trim() === "") return null;
  return (
    <>
      <label for="written">What you had written</label>
      <textarea id="written" readonly>
        {text}
      </textarea>
    </>
  );
}

function headOf(status: number): string {
  if (status === 404) return "Not found";
  if (status === 401) return "You are not signed in";
  if (status === 403) return "Not allowed";
  return status >= 500 ? "Something went wrong" : "This was not done";
}
