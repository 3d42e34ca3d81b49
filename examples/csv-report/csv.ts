export interface Row {
  /** Line of the file on which the row starts, from 1. */
  line: number;
  fields: string[];
}

/**
 * Splits CSV by RFC 4180: fields may be quoted, and then hold commas, line breaks and doubled quotes.
 * Empty lines are skipped. A quote that is never closed makes the rest of the file one field,
 * which shows as a row with the wrong number of fields.
 */
export function parseCsv(text: string): Row[] {
  const rows: Row[] = [];
  let fields: string[] = [];
  let field = "";
  let line = 1;
  let started_at = 1;
  let quoted = false;

  const endRow = () => {
    fields.push(field);
    if (fields.length > 1 || field !== "") rows.push({ line: started_at, fields });
    fields = [];
    field = "";
    started_at = line;
  };

  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? "";
    if (char === "\n") line += 1;
    if (quoted) {
      if (char !== '"') field += char;
      else if (text[at + 1] === '"') field += text[at++];
      else quoted = false;
    } else if (char === '"' && field === "") quoted = true;
    else if (char === ",") {
      fields.push(field);
      field = "";
    } else if (char === "\n") endRow();
    else if (char !== "\r") field += char;
  }
  if (field !== "" || fields.length > 0) endRow();
  return rows;
}
