/** Where a text stops being JSON: the engine's own message does not always say. */
export interface JsonFault {
  /** Counting from 1; columns are UTF-16 code units. */
  line: number;
  column: number;
  /** What would be right there. */
  text: string;
}

const SPACE = /[ \t\n\r]*/y;
const STRING = /"(?:[^"\\\u0000-\u001f]+|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

type Wanted =
  | "a value"
  | "a value or ]"
  | "a member's name"
  | "a member's name or }"
  | "a colon"
  | "a comma or the end";

/** @param text  that `JSON.parse` refused. */
export function jsonFault(text: string): JsonFault {
  const open: ("}" | "]")[] = [];
  let wanted: Wanted = "a value";
  let at = 0;
  const match = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    if (!pattern.test(text)) return false;
    at = pattern.lastIndex;
    return true;
  };
  const fault = (expected: string): JsonFault => {
    const before = text.slice(0, at);
    const line_start = before.lastIndexOf("\n") + 1;
    const line = before.split("\n").length;
    const what = at >= text.length ? "ends" : "has something else";
    return { line, column: at - line_start + 1, text: `${what} where ${expected} should be` };
  };
  for (;;) {
    match(SPACE);
    const char = text[at];
    if (wanted === "a comma or the end") {
      const closing = open.at(-1);
      if (closing === undefined) return fault("the end of the body");
      if (char === closing) {
        open.pop();
        at += 1;
      } else if (char === ",") {
        at += 1;
        wanted = closing === "}" ? "a member's name" : "a value";
      } else return fault(`a comma or ${closing}`);
    } else if (wanted === "a colon") {
      if (char !== ":") return fault(wanted);
      at += 1;
      wanted = "a value";
    } else if (wanted === "a member's name" || wanted === "a member's name or }") {
      if (char === "}" && wanted === "a member's name or }") {
        open.pop();
        at += 1;
        wanted = "a comma or the end";
      } else if (match(STRING)) wanted = "a colon";
      else return fault("a member's name in double quotes");
    } else if (char === "{" || char === "[") {
      open.push(char === "{" ? "}" : "]");
      at += 1;
      wanted = char === "{" ? "a member's name or }" : "a value or ]";
    } else if (char === "]" && wanted === "a value or ]") {
      open.pop();
      at += 1;
      wanted = "a comma or the end";
    } else if (match(STRING) || match(SCALAR)) wanted = "a comma or the end";
    else return fault(wanted);
  }
}
