import type { Child } from "hono/jsx";
import { Code, Said } from "./parts.tsx";
import { type Shown, shownText } from "./shown.ts";

/** Who asked for something: accountable principal first, as the API says it. */
export type Chain = readonly { actor: string; kind: string; name?: string }[];

/** What actors are called, by their ids. An id that it lacks stands for itself. */
export type Names = ReadonlyMap<string, string>;

export interface WideTableProps {
  /** What the rows are. */
  caption: string;
  heads: readonly string[];
  /** Heads whose cells are numbers, and stand right. */
  numbers?: readonly string[];
  rows: readonly (readonly Child[])[];
}

/** A table that keeps its columns on a narrow screen: it scrolls in a box of its own, which the keyboard reaches. */
export function WideTable({ caption, heads, numbers = [], rows }: WideTableProps) {
  const side = heads.map((head) => (numbers.includes(head) ? "n" : undefined));
  return (
    // Who has no mouse must be able to scroll it.
    <section class="wide" tabindex={0} aria-label={caption}>
      <table>
        <caption>{caption}</caption>
        <thead>
          <tr>
            {heads.map((head, at) => (
              <th scope="col" class={side[at]}>
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((cells) => (
            <tr>
              {cells.map((cell, at) => (
                <td class={side[at]}>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** Where what has this id is shown: a page of its own, or all entries that name it. */
export function pathOf(id: string): string {
  const name = encodeURIComponent(id);
  if (id.startsWith("run_")) return `/runs/${name}`;
  if (id.startsWith("apr_")) return `/approvals/${name}`;
  if (id.startsWith("ent_")) return `/ledger/${name}`;
  return `/ledger?ref=${name}`;
}

/** A point in time as a list has it: the foot of each page says that it is UTC. */
export function ListedWhen({ at }: { at: number }) {
  const text = new Date(at).toISOString().slice(0, 19);
  return <time datetime={`${text}Z`}>{text.replace("T", " ")}</time>;
}

/** The same in a table, where links are ids and a list of them is long: nothing around it but the link. */
export function ListedRef({ id }: { id: string }) {
  return <a href={pathOf(id)}>{/^[a-z]{3}_[0-9a-z]+$/.test(id) ? id : <Said text={id} />}</a>;
}

/** An id, whole, that leads to what it names. */
export function Ref({ id, name }: { id: string; name?: string | undefined }) {
  return (
    <a href={pathOf(id)}>
      {name === undefined ? (
        <code>
          <Said text={id} />
        </code>
      ) : (
        <Said text={name} />
      )}
    </a>
  );
}

/** `agent scribe for human Ada`: who acted comes first to a reader, and who answers for it last. */
export function Who({ chain, names, linked = true }: { chain: Chain; names: Names; linked?: boolean }) {
  if (chain.length === 0) return <>Gantry itself</>;
  return (
    <>
      {chain.toReversed().map(({ actor, kind, name }, at) => {
        const known = names.get(actor) ?? name;
        return (
          <>
            {at === 0 ? "" : " for "}
            {kind} {linked ? <Ref id={actor} name={known} /> : <Said text={known ?? actor} />}
          </>
        );
      })}
    </>
  );
}

/** A text of somebody else, bounded: what is missing is said, and how to see it. @param rest  a command. */
export function ShownCode({ shown, label, rest }: { shown: Shown; label: string; rest: string }) {
  return (
    <>
      <Code text={shown.text} label={label} />
      {shown.cut ? (
        <LeftOut command={rest}>
          Only the first {shown.text.length.toLocaleString("en-US")} characters are shown here. All of it:
        </LeftOut>
      ) : null}
    </>
  );
}

/** That something was left out, and the command that shows it. */
export function LeftOut({ command, children }: { command: string; children: Child }) {
  return (
    <p class="soft">
      {children} <code>{command}</code>
    </p>
  );
}

/** A short text of somebody else on one line, its end cut off visibly. */
export function SaidBriefly({ text, chars_max }: { text: string; chars_max: number }) {
  const shown = shownText(text, chars_max);
  return (
    <>
      <Said text={shown.text} />
      {shown.cut ? <small> … cut</small> : null}
    </>
  );
}

/** Commands to copy, one a line. */
export function Commands({ label, lines }: { label: string; lines: readonly string[] }) {
  return <Code text={lines.join("\n")} label={label} />;
}

/** Where a list goes on. */
export function Pager({ first, next, older }: { first: string | undefined; next: string | undefined; older: string }) {
  if (first === undefined && next === undefined) return null;
  return (
    <nav class="pages" aria-label="Pages">
      {first === undefined ? null : <a href={first}>Newest</a>}
      {next === undefined ? null : (
        <a href={next} rel="next">
          {older}
        </a>
      )}
    </nav>
  );
}

/** A path with what narrows it; what is undefined or empty is left out. */
export function pathWith(path: string, query: Record<string, string | undefined>): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== "") params.set(name, value);
  const text = params.toString();
  return text === "" ? path : `${path}?${text}`;
}
