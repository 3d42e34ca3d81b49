// Compares what was printed with what a page says, with everything masked that differs from one time to the next.

/** From the narrow to the wide: what an earlier mask has replaced, a later one does not see. */
const MASKS = /** @type {[RegExp, string][]} */ ([
  [/\bgtr_(hum|agt|svc|lnk)_([0-9A-Za-z]{36}|[0-9A-Za-z]{0,8}…)/g, "gtr_$1_<secret>"],
  [/\bwhsec_[A-Za-z0-9+/=]{20,}/g, "whsec_<secret>"],
  [/\bgl_[0-9a-z]+…?/g, "gl_<lease>"],
  [/\b([a-z]{3})_([0-9a-hjkmnp-tv-z]{26}|[0-9a-z]{0,8}…)(?![0-9a-z])/g, "$1_<id>"],
  [/\bgantry-[0-9a-f]{16}\b/g, "<log>"],
  [/(?<=<log>)\+[0-9a-f]{8}\b/g, "+<key>"],
  [/\/\S*\/gantry-demo-\w+/g, "<directory>"],
  [/(?:\/[\w.-]+)+\/\.gantry\b/g, "<data>"],
  [/\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?/g, "<time>"],
  [/\b(\d{4}-)?\d\d-\d\d \d\d:\d\d(:\d\d)?Z?/g, "<time>"],
  [/\b\d{4}-\d\d-\d\d\b/g, "<date>"],
  [/\b\d\d:\d\d:\d\d(\.\d+)?Z?/g, "<time>"],
  [/(?<!\w)[A-Za-z0-9+/]{43}=(?!\w)/g, "<hash>"],
  [/\b(sha256[:-])?[0-9a-f]{64}\b/g, "<hash>"],
  [/\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7,63}\b…?/g, "<hash>"],
  [/\b(127\.0\.0\.1|localhost|\[::1\]):\d+/g, "$1:<port>"],
  [/\b(ports?:? \[?)\d{4,5}\b/g, "$1<port>"],
  [/\b(byte|bytes) \d+/g, "$1 <place>"],
  // How much of the ledger is sealed at a moment depends on the moment.
  [/\b\d+( \w+)? (entry|entries)\b/g, "<count>$1 entries"],
  [/\b(appended:|became) \d+\b/g, "$1 <count>"],
  // Where an entry stands: a row of a timeline begins with it.
  [/^\d+(-\d+)? (?=\+\d)/g, "<index> "],
  [/\bindex \d+\b/g, "index <index>"],
  [/\b[\d,.]+ ?(B|KiB|MiB|GiB|KB|MB|GB|kB|bytes?)\b/g, "<size>"],
  [/\b[\d,.]+ ?(µs|ms|s|min|h|m|d|seconds?|minutes?|hours?|days?)\b( ago)?/g, "<span>"],
  [/\b(\d+) ?%/g, "<part>"],
]);

/**
 * A line without what differs each time, and without the widths of columns.
 * @param {string} line
 */
export function mask(line) {
  const plain = line
    .replaceAll(/\u001b\[[0-9;]*m/g, "")
    .replaceAll(/\s+/g, " ")
    .trim();
  return MASKS.reduce((text, [pattern, by]) => text.replaceAll(pattern, by), plain);
}

/**
 * Does the output say what the page says? A line `…` stands for any lines, `…` in a line for any text. A long line may be
 * broken anywhere.
 * @param {string[]} expected @param {string} actual
 * @param {boolean} is_partial  the output is still coming: what follows the last expected line does not count.
 * @returns {string | undefined} the first expected line that is not there, or what came after the last one.
 */
export function difference(expected, actual, is_partial = false) {
  const text = flat(actual.split("\n"));
  let pattern = "";
  let was_gap = true;
  let is_first = true;
  const lines = [...expected];
  while (lines.length > 0 && lines.at(-1)?.trim() === "") lines.pop();
  for (const line of lines) {
    if (line.trim() === "") continue;
    if (line.trim() === "…") {
      pattern += is_first ? "" : "(?: .*?)?";
      was_gap = true;
      if (is_first) pattern += "(?:.*? )?";
      is_first = false;
      continue;
    }
    const words = mask(line).split("…").map(escaped).join(".*?");
    pattern += `${is_first || pattern.endsWith("(?:.*? )?") ? "" : " "}${words}`;
    was_gap = false;
    is_first = false;
    if (!new RegExp(`^${pattern}`, "s").test(text)) return line;
  }
  if (is_partial || was_gap) return is_first && text !== "" && !is_partial ? firstLine(actual) : undefined;
  if (new RegExp(`^${pattern}$`, "s").test(text)) return undefined;
  return "(the end of the output)";
}

/** @param {string[]} lines */
function flat(lines) {
  return lines
    .map(mask)
    .filter((line) => line !== "")
    .join(" ");
}

/** @param {string} text */
function firstLine(text) {
  return `(no output, and not: ${text.trim().split("\n")[0]})`;
}

/** @param {string} text */
function escaped(text) {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

const NAMED =
  /\b(gtr_(?:hum|agt|svc|lnk)_[0-9A-Za-z]{36}|whsec_[A-Za-z0-9+/=]{20,}|[a-z]{3}_[0-9a-hjkmnp-tv-z]{26}|(?<![0-9a-f])[0-9a-f]{64})(?![0-9A-Za-z])/g;

/**
 * Names that are made anew each time. A page shows the ones of the day on which it was written, or `apr_…`: in a command
 * they stand for what was printed in their place.
 */
export class Names {
  /** @type {Map<string, string>} */
  #meant = new Map();
  /** @type {Map<string, string>} the newest by its kind */
  #newest = new Map();

  /** Learns from what a command printed. @param {string[]} expected @param {string} actual */
  learn(expected, actual) {
    const printed = actual.split("\n");
    for (const name of namesOf(actual)) this.#newest.set(kindOf(name), name);
    let from = 0;
    for (const line of expected.filter((one) => namesOf(one).length > 0)) {
      const pattern = new RegExp(`^${mask(line).split("…").map(escaped).join(".*?")}$`);
      const at = printed.findIndex((one, n) => n >= from && pattern.test(mask(one)));
      if (at < 0) continue;
      from = at + 1;
      this.#pair(namesOf(line), namesOf(printed[at] ?? ""));
    }
    // A line that is broken elsewhere is not found: then the first run of the page is the first run of the output.
    this.#pair(
      namesOf(expected.join("\n")).filter((name) => kindOf(name) !== "hash"),
      namesOf(actual),
    );
  }

  /** By kind and order. @param {string[]} shown @param {string[]} real */
  #pair(shown, real) {
    for (const kind of new Set(shown.map(kindOf))) {
      const [ours, theirs] = [shown, real].map((all) => [...new Set(all.filter((name) => kindOf(name) === kind))]);
      ours?.forEach((name, n) => {
        const meant = theirs?.[n];
        if (meant !== undefined && !this.#meant.has(name)) this.#meant.set(name, meant);
      });
    }
  }

  /** @param {string} command */
  fill(command) {
    return command
      .replaceAll(NAMED, (name) => this.#meant.get(name) ?? name)
      .replaceAll(
        /\b(gtr_(?:hum|agt|svc|lnk)|[a-z]{3})_[0-9a-z]{0,8}…/g,
        (word, kind) => this.#newest.get(kind) ?? word,
      );
  }
}

/** @param {string} text */
function namesOf(text) {
  return [...text.matchAll(NAMED)].map(([name]) => name);
}

/** @param {string} name */
function kindOf(name) {
  return /^(gtr_[a-z]{3}|whsec|[a-z]{3})_/.exec(name)?.[1] ?? "hash";
}
