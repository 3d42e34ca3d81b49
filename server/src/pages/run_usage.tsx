import type { RunView } from "@gantry/sdk";
import { bytesText, durationText } from "./figures.ts";
import { WideTable } from "./record_parts.tsx";

interface Use {
  what: string;
  used: number;
  limit: number;
  text: (value: number) => string;
}

/** What it used, against what it might. */
export function RunUsage({ run }: { run: RunView }) {
  const uses = usesOf(run);
  if (uses.length === 0) {
    return <p>{run.state === "ended" ? "Nothing: its code was never started." : "That is known when it has ended."}</p>;
  }
  return (
    <WideTable
      caption="What it used, and what its contract and request let it use"
      heads={["What", "Used", "Limit", "Share"]}
      numbers={["Used", "Limit", "Share"]}
      rows={uses.map(({ what, used, limit, text }) => [
        what,
        text(used),
        text(limit),
        <Share what={what} used={used} limit={limit} />,
      ])}
    />
  );
}

function Share({ what, used, limit }: { what: string; used: number; limit: number }) {
  const percent = limit === 0 ? 100 : Math.round((used / limit) * 100);
  return (
    <>
      <meter
        min={0}
        max={limit}
        value={Math.min(used, limit)}
        high={limit * 0.8}
        low={limit * 0.5}
        optimum={0}
        aria-label={`${what}, share of its limit`}
      >
        {percent} %
      </meter>{" "}
      {percent} %
    </>
  );
}

function usesOf({ usage, timing, limits }: RunView): Use[] {
  const megabytes = (value: number) => `${Math.round(value * 10) / 10} MB`;
  return [
    ...(usage === undefined
      ? []
      : [{ what: "CPU time", used: usage.cpu_ms, limit: limits.cpu_ms, text: durationText }]),
    ...(timing === undefined
      ? []
      : [
          {
            what: "Wall time",
            used: timing.startup_ms + timing.completion_ms,
            limit: limits.wall_ms,
            text: durationText,
          },
        ]),
    ...(usage === undefined
      ? []
      : [
          { what: "Memory, at its peak", used: usage.rss_peak_mb, limit: limits.memory_mb, text: megabytes },
          { what: "Result", used: usage.output_bytes, limit: limits.output_bytes_max, text: bytesText },
          { what: "Log", used: usage.log_bytes, limit: limits.log_bytes_max, text: bytesText },
        ]),
  ];
}
