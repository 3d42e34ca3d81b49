import type { Fault, Schema } from "./schema.ts";
import { validate } from "./validator.ts";

interface Input {
  schema: Schema;
  documents: unknown[];
}

/** Validates every document and reports each fault with the JSON pointer of the place that is wrong. */
export default {
  run({ schema, documents }: Input) {
    const invalid = documents.flatMap((document, index) => {
      const faults = validate(schema, document).sort(byPlace);
      return faults.length > 0 ? [{ index, faults }] : [];
    });
    return { documents: documents.length, valid: documents.length - invalid.length, invalid };
  },
};

const byPlace = (a: Fault, b: Fault) => (a.at === b.at ? (a.keyword < b.keyword ? -1 : 1) : a.at < b.at ? -1 : 1);
