import { isStorableText } from "../../kernel/canonical.ts";
import { GantryError, hasCode, type Problem } from "../../kernel/errors.ts";
import { type Contract, type ContractDocument, contract_errors } from "../contract.ts";
import { cedarProblems } from "../engine/validate.ts";
import type { FoundServices } from "./catalogue.ts";
import { invalid, parseContract } from "./document.ts";

/** A document that is valid, and what it says. */
export interface ReadDocument {
  document: ContractDocument;
  contract: Contract;
}

/**
 * Reads all documents before any of them is applied.
 * @param bases  the built-in contracts, by name.
 * @param services  of the tenant's catalogue, those that the documents name.
 * @throws CONTRACT_INVALID with the problems of every file; CONTRACT_BUILTIN
 */
export function readDocuments(
  documents: readonly ContractDocument[],
  bases: ReadonlyMap<string, Contract>,
  services: FoundServices = new Map(),
): ReadDocument[] {
  const read: ReadDocument[] = [];
  const refused: string[] = [];
  const problems: Problem[] = [];
  const named = new Map<string, string>();
  for (const document of documents) {
    try {
      const contract = readOne(document, bases, services);
      const earlier = named.get(contract.name);
      if (earlier === undefined) {
        named.set(contract.name, document.name);
      } else {
        refused.push(document.name);
        problems.push(twice(document.name, contract.name, earlier));
      }
      read.push({ document, contract });
    } catch (error) {
      if (!hasCode(error, contract_errors.INVALID)) throw error;
      refused.push(document.name);
      problems.push(...(error.parts.problems ?? []));
    }
  }
  if (refused.length > 0) throw invalid(refused, problems);
  const builtin = read.find(({ contract }) => bases.has(contract.name));
  if (builtin === undefined) return read;
  const { name } = builtin.contract;
  throw new GantryError(contract_errors.BUILTIN, {
    detail: `${name} is built in. Give the contract another name and let it extend ${name}.`,
  });
}

/** @throws CONTRACT_INVALID also when the document speaks of another contract than the path that it was sent to. */
export function readNamed(
  name: string,
  document: ContractDocument,
  bases: ReadonlyMap<string, Contract>,
  services: FoundServices = new Map(),
): ReadDocument {
  const [read] = readDocuments([document], bases, services);
  if (read !== undefined && read.contract.name === name) return read;
  const text = `The document's name is ${read?.contract.name}, and it was sent as ${name}; the two must be equal.`;
  throw invalid([document.name], [{ at: `${document.name}#/name`, text }]);
}

function readOne(document: ContractDocument, bases: ReadonlyMap<string, Contract>, services: FoundServices): Contract {
  if (!isStorableText(document.text)) {
    const text = "The document has U+0000 or half of a surrogate pair in it, which no text of ours may have.";
    throw invalid([document.name], [{ at: `${document.name}#`, text }]);
  }
  return parseContract(document, bases, cedarProblems, services);
}

function twice(document: string, name: string, earlier: string): Problem {
  return { at: `${document}#/name`, text: `${name} is the name of the contract in ${earlier}, too.` };
}
