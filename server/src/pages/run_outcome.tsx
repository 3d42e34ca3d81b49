import type { NextStep, RunError, RunView } from "@gantry/sdk";
import { SHOWN_JSON_CHARS_MAX, SHOWN_STACK_LINES_MAX, SHOWN_TEXT_CHARS_MAX } from "./contract.ts";
import { bytesText } from "./figures.ts";
import { Code, Note, Said } from "./parts.tsx";
import { LeftOut, Ref, ShownCode } from "./record_parts.tsx";
import { wordsOf } from "./run_words.ts";
import { shownJson, shownText } from "./shown.ts";

/** How it ended and why, or what it waits for. */
export function RunOutcome({ run }: { run: RunView }) {
  const { tone, sentence } = wordsOf(run);
  return (
    <Note tone={tone} title={sentence}>
      {run.state === "waiting_approval" && run.approval !== undefined ? (
        <p>
          Read what is asked, and decide: <Ref id={run.approval} />
        </p>
      ) : null}
      {run.state === "queued" ? <Place run={run} /> : null}
      {run.error === undefined ? null : <Fault error={run.error} />}
      <Steps steps={[...(run.error?.next_steps ?? []), ...(run.next_steps ?? [])]} />
      {run.state === "ended" ? null : (
        <p>
          <a href={`/runs/${run.id}`}>Look again</a>
        </p>
      )}
    </Note>
  );
}

function Place({ run: { position, estimated_start_ms } }: { run: RunView }) {
  if (position === undefined) return null;
  return (
    <p>
      It is number {position} in the line
      {estimated_start_ms === undefined ? "" : `, and should start in about ${Math.ceil(estimated_start_ms / 1_000)} s`}
      .
    </p>
  );
}

/** What the guest threw, or why it was refused: all of it is somebody else's text. */
function Fault({ error }: { error: RunError }) {
  const said = shownText(error.detail, SHOWN_TEXT_CHARS_MAX);
  const head = error.name === undefined || error.detail.startsWith(error.name) ? "" : `${error.name}: `;
  const reasons = (error.reasons ?? []).filter(({ detail }) => detail !== error.detail);
  return (
    <>
      <p>
        <code>{error.code}</code> <Said text={`${head}${said.text}`} />
        {said.cut ? <small> … cut</small> : null}
      </p>
      {reasons.length + (error.problems ?? []).length === 0 ? null : (
        <ul>
          {reasons.map(({ code, detail }) => (
            <li>
              <code>{code}</code> <Said text={detail} />
            </li>
          ))}
          {(error.problems ?? []).map(({ at, line, column, text }) => (
            <li>
              <code>
                <Said text={[at, line, column].filter((part) => part !== undefined).join(":")} />
              </code>{" "}
              <Said text={text} />
            </li>
          ))}
        </ul>
      )}
      <Stack text={error.stack} />
    </>
  );
}

function Stack({ text }: { text: string | undefined }) {
  const lines = (text ?? "").split("\n").filter((line) => /^\s*at /.test(line));
  if (lines.length === 0) return null;
  const shown = shownText(lines.slice(0, SHOWN_STACK_LINES_MAX).join("\n"), SHOWN_TEXT_CHARS_MAX);
  return (
    <>
      <Code text={shown.text} label="Where it was thrown, in the lines of its own source" />
      {shown.cut || lines.length > SHOWN_STACK_LINES_MAX ? (
        <p class="soft">The stack goes on; this is its top.</p>
      ) : null}
    </>
  );
}

function Steps({ steps }: { steps: readonly NextStep[] }) {
  if (steps.length === 0) return null;
  return (
    <>
      <p>What can be done:</p>
      <ul>
        {steps.map(({ text, command, rule }) => (
          <li>
            <Said text={text} />
            {command === undefined ? null : (
              <>
                : <code>{<Said text={command.startsWith("gantry ") ? `npx ${command}` : command} />}</code>
              </>
            )}
            {rule === undefined ? null : <Code text={shownJson(rule, SHOWN_TEXT_CHARS_MAX).text} label="The rule" />}
          </li>
        ))}
      </ul>
    </>
  );
}

/** What it gave back. */
export function RunResult({ run }: { run: RunView }) {
  if (run.termination !== "completed") {
    return <p>{run.state === "ended" ? "There is none: it did not complete." : "There is none yet."}</p>;
  }
  const shown = shownJson(run.result, SHOWN_JSON_CHARS_MAX);
  const { http, usage } = run;
  return (
    <>
      {http === undefined ? null : (
        <>
          <p>
            It answered as a server does, with status <strong>{http.status}</strong>
            {http.headers.length === 0 ? "." : " and these headers:"}
          </p>
          {http.headers.length === 0 ? null : (
            <Code
              text={
                shownText(http.headers.map(([name, value]) => `${name}: ${value}`).join("\n"), SHOWN_TEXT_CHARS_MAX)
                  .text
              }
              label="Headers"
            />
          )}
        </>
      )}
      <ShownCode shown={shown} label="Result" rest={`npx gantry runs show ${run.id} --json`} />
      {usage !== undefined && shown.cut ? <p class="soft">It has {bytesText(usage.output_bytes)} in all.</p> : null}
    </>
  );
}

/** That a log was cut by its own limit, which no command undoes. */
export function Dropped({ run }: { run: RunView }) {
  const dropped = run.usage?.log_dropped ?? 0;
  if (dropped === 0) return null;
  return (
    <LeftOut command={`log_bytes_max: ${run.limits.log_bytes_max}`}>
      {bytesText(dropped)} past the limit of the log were not kept by the server:
    </LeftOut>
  );
}
