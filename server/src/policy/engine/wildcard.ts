/**
 * Does the text match the pattern, in which `*` stands for any characters, none and `/` among them? Everything else
 * stands for itself. At most `pattern.length * text.length` steps, whatever they are: a regular expression made of a
 * pattern with many stars would take for ever.
 */
export function matchesPattern(pattern: string, text: string): boolean {
  return matchesItems(pattern, text, "*", 0);
}

/**
 * Does the name match the pattern, label by label? `*` is exactly one label, `**` one or more, and a label that only
 * contains a star is none of them. Both are canonical ASCII without a dot at the end.
 */
export function matchesHost(pattern: string, host: string): boolean {
  if (pattern === host) return true;
  if (!pattern.includes("*") || isAddress(host)) return false;
  const labels = host.split(".");
  if (labels.includes("")) return false;
  return matchesItems(pattern.split("."), labels, "**", 1);
}

/** An IP literal as a URL has it: brackets or colons, or a last label that is a number (WHATWG URL, "ends in a number"). */
export function isAddress(host: string): boolean {
  return /[:[\]]/.test(host) || /(^|\.)(0x[0-9a-f]*|[0-9]+)\.?$/i.test(host);
}

/**
 * Greedy: a gap takes as little as it can, and when what follows does not fit, the last gap takes one item more.
 * @param gap  the item of the pattern that stands for at least `least` items.
 */
function matchesItems(pattern: ArrayLike<string>, items: ArrayLike<string>, gap: string, least: number): boolean {
  let p = 0;
  let i = 0;
  let gap_at = -1;
  let gap_end = 0;
  while (i < items.length || pattern[p] === gap) {
    if (pattern[p] === gap) {
      gap_at = p;
      gap_end = i + least;
      if (gap_end > items.length) return false;
      p += 1;
      i = gap_end;
    } else if (p < pattern.length && fits(pattern[p], items[i], gap)) {
      p += 1;
      i += 1;
    } else if (gap_at >= 0 && gap_end < items.length) {
      gap_end += 1;
      p = gap_at + 1;
      i = gap_end;
    } else {
      return false;
    }
  }
  return p === pattern.length;
}

function fits(wanted: string | undefined, item: string | undefined, gap: string): boolean {
  return wanted === item || (gap === "**" && wanted === "*");
}
