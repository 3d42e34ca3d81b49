import type { Gantry, LogLine, RunView } from "@gantry/sdk";
import { SHOWN_LOG_LINE_CHARS_MAX, SHOWN_LOG_LINES_MAX } from "./contract.ts";
import { durationText } from "./figures.ts";
import { type Part, Refused } from "./part.tsx";
import { LeftOut, SaidBriefly } from "./record_parts.tsx";
import { Dropped } from "./run_outcome.tsx";
import { countText } from "./text.ts";

/** One page of a log: at most `SHOWN_LOG_LINES_MAX` lines, in the order in which they were written. */
export interface LogPage {
  lines: LogLine[];
  /** There are lines in front of these. */
  earlier: boolean;
}

/**
 * The lines in front of `before`, or the last ones. The numbers of lines rise by one, so that an earlier page is asked
 * for exactly; for the last one the log is read through, which its own limit bounds, and nothing but the page is kept.
 */
export async function readLogPage(gantry: Gantry, run: string, before: number | undefined): Promise<LogPage> {
  const lines: LogLine[] = [];
  let seen = before === undefined ? 0 : Math.max(0, before - 1 - SHOWN_LOG_LINES_MAX);
  for await (const line of gantry.runs.logs(run, { after: seen })) {
    if (before !== undefined && line.seq >= before) break;
    lines.push(line);
    if (lines.length > SHOWN_LOG_LINES_MAX) {
      lines.shift();
      seen += 1;
    }
  }
  return { lines, earlier: seen > 0 };
}

/** What the run wrote. @param before  the number in front of which the page ends, as the address says it. */
export function RunLog({ run, log, before }: { run: RunView; log: Part<LogPage>; before: number | undefined }) {
  if (log.is === "refused") return <Refused what="the log" problem={log.problem} />;
  const { lines, earlier } = log.value;
  const [first] = lines;
  const last = lines.at(-1);
  if (first === undefined || last === undefined) {
    return <p>{before === undefined ? "It wrote nothing." : "There is nothing in front of that."}</p>;
  }
  const path = `/runs/${run.id}`;
  return (
    <>
      <p class="soft">
        {countText(lines.length, "line")}, number {first.seq} to {last.seq}
        {before === undefined && earlier ? ": the newest" : ""}. Times count from when the run was asked for.
      </p>
      <LogLines lines={lines} from={run.created_at} />
      {earlier || before !== undefined ? (
        <>
          <nav class="pages" aria-label="Pages of the log">
            {earlier ? <a href={`${path}?log_before=${first.seq}#log`}>Earlier lines</a> : null}
            {before === undefined ? null : <a href={`${path}#log`}>Newest lines</a>}
          </nav>
          <LeftOut command={`npx gantry runs logs ${run.id}`}>
            At most {SHOWN_LOG_LINES_MAX} lines are shown. All:
          </LeftOut>
        </>
      ) : null}
      <Dropped run={run} />
    </>
  );
}

function LogLines({ lines, from }: { lines: readonly LogLine[]; from: number }) {
  return (
    // Who has no mouse must be able to scroll it.
    <section class="log" tabindex={0} aria-label="Lines of the log">
      <ol start={lines[0]?.seq}>
        {lines.map(({ at, level, text }) => (
          <li class={level === "log" ? undefined : `is-${level}`}>
            <span class="t">+{durationText(Math.max(0, at - from))}</span> {level === "log" ? null : <b>{level} </b>}
            <SaidBriefly text={text} chars_max={SHOWN_LOG_LINE_CHARS_MAX} />
          </li>
        ))}
      </ol>
    </section>
  );
}
