// The instructions of a Dockerfile, for the scripts and tests that judge one. Here-documents and parser directives are not read.

/**
 * @param {string} text
 * @returns {{name: string, text: string, line: number}[]} in their order; continued lines are joined, comments are left out.
 */
export function instructionsOf(text) {
  /** @type {{name: string, text: string, line: number}[]} */
  const found = [];
  let open = "";
  let from = 0;
  for (const [index, line] of text.split("\n").entries()) {
    if (/^\s*(#|$)/.test(line)) continue;
    if (open === "") from = index + 1;
    open += line.trim();
    if (open.endsWith("\\")) {
      open = `${open.slice(0, -1).trimEnd()} `;
      continue;
    }
    const [, name = "", rest = ""] = /^(\w+)\s+(.*)$/.exec(open) ?? [];
    found.push({ name: name.toUpperCase(), text: rest, line: from });
    open = "";
  }
  return found;
}
