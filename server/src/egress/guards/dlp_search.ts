import { RE2JS } from "re2js";
import { DLP_RULES, type DlpRule, KEYWORD_AFTER_BYTES, KEYWORD_BEFORE_BYTES } from "./dlp_rules.ts";
import { KeywordIndex } from "./keyword_index.ts";

/** A stretch of a text that a rule is held to. */
interface Stretch {
  from: number;
  to: number;
}

/**
 * Looks for what has the shape of a secret. One pass finds the keywords of all rules; a rule's expression then sees the
 * neighbourhood of its own keywords alone, and takes time in proportion to that, whatever the text is: RE2 does not go back.
 */
export class DlpSearch {
  readonly #rules: readonly DlpRule[];
  readonly #index: KeywordIndex;
  /** The rule of each keyword. */
  readonly #owners: number[];
  /** Compiled when they are needed first: most never are. */
  readonly #compiled = new Map<number, RE2JS>();

  constructor(rules: readonly DlpRule[] = DLP_RULES) {
    this.#rules = rules;
    this.#owners = rules.flatMap(({ keywords }, rule) => keywords.map(() => rule));
    this.#index = new KeywordIndex(rules.flatMap(({ keywords }) => keywords));
  }

  /** @returns the id of a rule that finds something, of the first in the list. */
  find(text: Uint8Array): string | undefined {
    const stretches = new Map<number, Stretch[]>();
    this.#index.find(text, (keyword, at) => {
      const rule = this.#owners[keyword] ?? 0;
      const from = Math.max(0, at - KEYWORD_BEFORE_BYTES);
      const to = at + KEYWORD_AFTER_BYTES;
      const known = stretches.get(rule);
      const last = known?.at(-1);
      if (last !== undefined && from <= last.to) last.to = to;
      else if (known === undefined) stretches.set(rule, [{ from, to }]);
      else known.push({ from, to });
    });
    if (stretches.size === 0) return undefined;
    const bytes = Buffer.from(text.buffer, text.byteOffset, text.byteLength);
    for (const rule of [...stretches.keys()].sort((a, b) => a - b)) {
      for (const { from, to } of stretches.get(rule) ?? []) {
        // One character is one byte: rules are about ASCII.
        if (this.#compile(rule).test(bytes.toString("latin1", from, Math.min(to, bytes.length)))) {
          return this.#rules[rule]?.id;
        }
      }
    }
    return undefined;
  }

  #compile(rule: number): RE2JS {
    let compiled = this.#compiled.get(rule);
    if (compiled === undefined) {
      compiled = RE2JS.compile(this.#rules[rule]?.pattern ?? "");
      this.#compiled.set(rule, compiled);
    }
    return compiled;
  }
}
