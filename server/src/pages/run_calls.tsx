import type { EgressRow, RunView } from "@gantry/sdk";
import { SHOWN_CALLS_MAX, SHOWN_CELL_CHARS_MAX } from "./contract.ts";
import { bytesText } from "./figures.ts";
import { Badge } from "./parts.tsx";
import { LeftOut, SaidBriefly, WideTable } from "./record_parts.tsx";

/** What it called, and what was not let out. */
export function RunCalls({ run }: { run: RunView }) {
  const { egress = [], blocked = [] } = run;
  if (egress.length + blocked.length === 0) {
    return (
      <p>
        {run.state === "ended" ? "It called nothing." : "Nothing is known of that before it has ended."} What leaves a
        run passes one door, which would have said so.
      </p>
    );
  }
  const rest = Math.max(egress.length, blocked.length) > SHOWN_CALLS_MAX;
  return (
    <>
      {egress.length === 0 ? null : <Door rows={egress} />}
      {blocked.length === 0 ? null : (
        <WideTable
          caption="Calls that went nowhere: no rule of the contract lets them out"
          heads={["Host", "Method", "Calls"]}
          numbers={["Calls"]}
          rows={blocked
            .slice(0, SHOWN_CALLS_MAX)
            .map(({ host, method, count }) => [<Cell text={host} />, <Cell text={method} />, count])}
        />
      )}
      {rest ? (
        <LeftOut command={`npx gantry runs calls ${run.id}`}>At most {SHOWN_CALLS_MAX} rows are shown. All:</LeftOut>
      ) : null}
    </>
  );
}

function Door({ rows }: { rows: readonly EgressRow[] }) {
  return (
    <WideTable
      caption="What reached its door, calls that are alike in one row"
      heads={["Verdict", "Method", "Host", "Path", "Rule", "Code", "Calls", "Sent", "Received"]}
      numbers={["Calls", "Sent", "Received"]}
      rows={rows
        .slice(0, SHOWN_CALLS_MAX)
        .map((row) => [
          <Badge tone={row.verdict === "allowed" ? "good" : "bad"}>{row.verdict}</Badge>,
          <Cell text={row.method} />,
          <Cell text={row.host} />,
          <Cell text={row.path ?? ""} />,
          <Cell text={row.rule ?? ""} />,
          <Cell text={row.code ?? ""} />,
          row.count,
          bytesText(row.request_bytes),
          bytesText(row.response_bytes),
        ])}
    />
  );
}

function Cell({ text }: { text: string }) {
  return <SaidBriefly text={text} chars_max={SHOWN_CELL_CHARS_MAX} />;
}
