import { Said } from "./parts.tsx";
import { countText } from "./text.ts";

type LineKind = "add" | "del" | "at" | "file" | undefined;

/**
 * A unified diff, whole: nobody approves what they were not shown. Added and removed lines have their sign as well as a
 * colour. It scrolls by itself, and the keyboard reaches it.
 */
export function Diff({ text }: { text: string }) {
  const lines = text.replace(/\n$/, "").split("\n");
  const label = `Code, as a difference: ${countText(countOf(lines, "add"), "line")} added, ${countOf(lines, "del")} removed`;
  return (
    <>
      <p class="soft">{label}.</p>
      {/* Who has no mouse must be able to scroll it. */}
      <section class="diff" tabindex={0} aria-label={label}>
        <code>
          {lines.map((line) => {
            const kind = kindOf(line);
            return (
              <span class={kind === undefined ? "l" : `l ${kind}`}>
                {/* An empty line has its height, too. */}
                {line === "" ? "\u00a0" : <Said text={line} />}
              </span>
            );
          })}
        </code>
      </section>
    </>
  );
}

function countOf(lines: readonly string[], kind: LineKind): number {
  return lines.filter((line) => kindOf(line) === kind).length;
}

function kindOf(line: string): LineKind {
  if (/^(\+\+\+|---) /.test(line)) return "file";
  if (line.startsWith("+")) return "add";
  if (line.startsWith("-")) return "del";
  return line.startsWith("@@") ? "at" : undefined;
}
