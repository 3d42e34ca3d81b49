import type { Child } from "hono/jsx";
import { instantText, piecesOf } from "./text.ts";

/**
 * Text that somebody wrote who is not to be trusted: escaped, and what would not be seen in it is named.
 * All that an agent, a guest or another person said is shown through this.
 */
export function Said({ text }: { text: string }) {
  return (
    <bdi>
      {piecesOf(text).map((piece) =>
        piece.unseen ? (
          <span class="unseen" title="A character that is not seen">
            {piece.text}
          </span>
        ) : (
          piece.text
        ),
      )}
    </bdi>
  );
}

/** Names and what they are. A row whose value is null or undefined is left out. */
export function Facts({ rows }: { rows: readonly (readonly [name: string, value: Child])[] }) {
  return (
    <dl class="facts">
      {rows.map(([name, value]) =>
        value === null || value === undefined ? null : (
          <div>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ),
      )}
    </dl>
  );
}

export interface Row {
  /** Of one row: what is asked of a person stands out. */
  mark?: "warn" | "bad";
  cells: readonly Child[];
}

export interface TableProps {
  /** What the rows are, for who does not see the page; shown only when `titled`. */
  caption: string;
  titled?: boolean;
  heads: readonly string[];
  rows: readonly Row[];
}

/** Rows under heads. On a narrow screen each row becomes a block, and each cell names its head. */
export function Table({ caption, titled = false, heads, rows }: TableProps) {
  return (
    <table class="rows">
      <caption class={titled ? undefined : "aside"}>{caption}</caption>
      <thead>
        <tr>
          {heads.map((head) => (
            <th scope="col">{head}</th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map(({ mark, cells }) => (
          <tr class={mark}>
            {cells.map((cell, at) => (
              <td data-head={heads[at]}>{cell}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** A block of text as it is, which scrolls by itself; the keyboard reaches it. `label` says what it is. */
export function Code({ text, label }: { text: string; label: string }) {
  return (
    // Who has no mouse must be able to scroll it.
    <section class="code" tabindex={0} aria-label={label}>
      <code>
        <Said text={text} />
      </code>
    </section>
  );
}

export type Tone = "plain" | "wait" | "good" | "warn" | "bad";

function toned(name: string, tone: Tone): string {
  return tone === "plain" ? name : `${name} ${tone}`;
}

/** One word for how something stands. The word says it; the colour only repeats it. */
export function Badge({ tone = "plain", children }: { tone?: Tone; children: Child }) {
  return <span class={toned("badge", tone)}>{children}</span>;
}

/** Stands where a list has nothing, and says how it would get something. */
export function Empty({ title, children }: { title: string; children?: Child }) {
  return (
    <div class="empty">
      <p class="lead">{title}</p>
      {children}
    </div>
  );
}

/** A point in time, UTC. */
export function When({ at }: { at: number }) {
  return <time datetime={new Date(at).toISOString()}>{instantText(at)}</time>;
}

/** A hash or an id, whole: to compare and to copy. */
export function Hash({ value }: { value: string }) {
  return (
    <code class="hash">
      <Said text={value} />
    </code>
  );
}

export interface NoteProps {
  tone: Tone;
  title: string;
  /** `alert` for what answers something that was just done. */
  role?: "alert" | "status" | undefined;
  children?: Child;
}

/** Something to know before the rest of the page. */
export function Note({ tone, title, role, children }: NoteProps) {
  return (
    <div class={toned("note", tone)} role={role}>
      <p class="lead">{title}</p>
      {children}
    </div>
  );
}
