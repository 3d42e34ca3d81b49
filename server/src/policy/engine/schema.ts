import { ACTIONS, type Action } from "../contract.ts";

/** Asked by Gantry itself, for no actor. */
export const GANTRY = { type: "Gantry", id: "gantry" } as const;
export const RESOURCE = "Resource";
/** Entity types of principals, by the actor's kind. */
export const PRINCIPALS = { human: "Human", agent: "Agent", service: "Service" } as const;

/**
 * The schema that every policy is validated against and every request is held to. It is the product's: one for each
 * engine version, so a change of it raises `SCHEMA_VERSION`.
 *
 * Of the context only `gates` and `resource` are always there. The rest is optional, and strict validation demands that a
 * policy asks (`context has host && …`) before it looks: a published forbid can therefore not fail for a missing member,
 * which Cedar would take as "does not apply". There are no attributes of entities, so no entities travel with a request.
 * Addresses are texts here and are judged by egress: `ip()` ranges do not contain IPv6-mapped addresses.
 */
export const CEDAR_SCHEMA = `type Context = {
  gates: Set<String>,
  resource: String,
  acts_for?: String,
  target?: String,
  carries?: Set<String>,
  host?: String,
  port?: Long,
  protocol?: String,
  method?: String,
  path?: String,
  rule?: String,
  mutating?: Bool,
  secret?: String,
  tool?: String,
  repo?: String,
  app?: String,
  flag?: String,
  percent?: Long,
  data_class?: String,
  data_rank?: Long,
  read_class?: String,
  read_rank?: Long,
};
entity Human, Agent, Service, Gantry, ${RESOURCE};
action ${ACTIONS.map((action) => JSON.stringify(action)).join(", ")} appliesTo {
  principal: [Human, Agent, Service, Gantry],
  resource: [${RESOURCE}],
  context: Context,
};
`;

/** Members of the context that the engine works out itself; a caller's member of such a name has no effect. */
export interface Facts {
  /** The egress or tool rule that grants it, by id. */
  rule?: string;
  /** Does it change something where it goes? */
  mutating?: boolean;
  data_rank?: number;
  read_rank?: number;
}

/** `Action::"app.deploy"`, or a list of them. */
export function actionScope(on: Action | "*" | readonly Action[]): string {
  if (on === "*") return "action";
  if (typeof on === "string") return `action == Action::${quote(on)}`;
  return `action in [${on.map((action) => `Action::${quote(action)}`).join(", ")}]`;
}

/** A Cedar string literal. What is not plain is written as a code point, so that nothing can end the literal. */
export function quote(text: string): string {
  return `"${[...text].map(literal).join("")}"`;
}

/** A pattern for `like`, in which `*` stands for any characters. */
export function quotePattern(pattern: string): string {
  return `"${[...pattern].map((each) => (each === "*" ? "*" : literal(each))).join("")}"`;
}

const PLAIN = /^[A-Za-z0-9 _./:@-]$/;
function literal(character: string): string {
  if (PLAIN.test(character)) return character;
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}

/** The code that a policy's text names. Of a text without problems it is the annotation's value. */
export function codeOf(text: string): string | undefined {
  return /@code\s*\(\s*"([^"\\]*)"\s*\)/.exec(text)?.[1];
}
