import { GantryError } from "../../kernel/errors.ts";
import { errors, type Value } from "../contract.ts";

/** A column of a result, as PostgreSQL describes it. */
export interface Column {
  name: string;
  dataTypeID: number;
}

/** Object ids of built-in types; they are fixed (src/include/catalog/pg_type.dat). */
const OID = { bool: 16, bytea: 17, int8: 20, int2: 21, int4: 23, float4: 700, float8: 701, numeric: 1700 };
/** text, varchar, bpchar, name, "char", unknown. */
const TEXT_OIDS = new Set([25, 1043, 1042, 19, 18, 705]);
const NUMBER_OIDS = new Set([OID.int8, OID.int2, OID.int4, OID.float4, OID.float8, OID.numeric]);

/**
 * One value as SQLite would give it: integers are safe integers (SUM of BIGINT is a NUMERIC), truth is 1 or 0.
 * @param text  PostgreSQL's text form, `bytea_output = hex`.
 * @throws STORAGE_VALUE  a number that is no safe integer, or a type that the subset does not have.
 */
export function columnValue(text: string | null, { name, dataTypeID }: Column): Value {
  if (text === null) return null;
  if (TEXT_OIDS.has(dataTypeID)) return text;
  if (NUMBER_OIDS.has(dataTypeID)) {
    const number = Number(text);
    if (Number.isSafeInteger(number)) return number;
    throw new GantryError(errors.VALUE, { detail: `Column ${name} is ${text}, which is not a safe integer.` });
  }
  if (dataTypeID === OID.bytea) return new Uint8Array(Buffer.from(text.slice(2), "hex"));
  if (dataTypeID === OID.bool) return text === "t" ? 1 : 0;
  throw new GantryError(errors.VALUE, { detail: `Column ${name} has a type that is not stored (oid ${dataTypeID}).` });
}

/** A parameter as it goes over the wire: text, or bytes in the binary form. */
export function wireOf(value: Value): string | Buffer | null {
  if (value === null || typeof value === "string") return value;
  if (typeof value === "number") return String(value);
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}
