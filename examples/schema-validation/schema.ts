/** JSON Schema, draft 2020-12, without `$dynamicRef`, `unevaluated*`, remote references and formats. */
export type Schema = boolean | { readonly [keyword: string]: unknown };

export interface Fault {
  /** JSON pointer into the document (RFC 6901); empty for the document itself. */
  at: string;
  keyword: string;
}

/** Checks one value below `at`; `report` collects. */
export interface Visit {
  root: Schema;
  report(at: string, keyword: string): void;
  check(schema: unknown, value: unknown, at: string): void;
  passes(schema: unknown, value: unknown): boolean;
}
