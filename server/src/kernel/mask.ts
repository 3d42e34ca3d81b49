/**
 * Takes what looks like a secret, or names a person, out of a text, and leaves `[masked:<what>]` in its place.
 *
 * It knows shapes and no meanings: a secret that looks like a word stays, and what merely looks like a secret goes. It
 * lessens what a store can leak, and is no promise that nothing is left; a contract that needs one says `drop`.
 *
 * The same text always gives the same answer, and an answer is its own answer. Time is linear in the text, whatever it
 * is: each part below either takes what it has read, or gives up after a bounded number of characters.
 */
export function maskText(text: string): string {
  let masked = text;
  for (let rounds = 0; rounds < ROUNDS_MAX; rounds += 1) {
    const next = masked.replace(SHAPES, replacement);
    if (next === masked) return masked;
    masked = next;
  }
  // No such text is known. Should there be one, it is not shown: a text that is not its own answer is not masked.
  return mark("text");
}

/** What is taken out may have hidden a shape beside it: the second round finds that, and the third that nothing is left. */
const ROUNDS_MAX = 8;

type What = "private_key" | "secret" | "credentials" | "token" | "email" | "digits" | "text";

const mark = (what: What): string => `[masked:${what}]`;

/** Names whose value is a secret wherever they stand, also at the end of a longer name: `AWS_SECRET_ACCESS_KEY`. */
const SECRET_NAME =
  "(?:password|passwd|passphrase|pwd|secret|token|api[-_ ]?key|access[-_ ]?key|secret[-_ ]?key|private[-_ ]?key|credentials?)";
/** Between a name and its value; the quotes may be those of JSON, once more inside a string of JSON. */
const IS = String.raw`\\{0,2}["']?[ \t]{0,8}(?:=>|:=|[:=])[ \t]{0,8}\\{0,2}`;

/**
 * In the order of preference where two begin at the same place. A name ends a group where the text before the secret is
 * kept. None of them can match a mark, so a masked text stays as it is, up to the values of names, which become themselves.
 */
const SHAPES = new RegExp(
  [
    // Without an end it is cut, and still a key.
    `(?<private_key>-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----[^]*?(?:-----END [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----|$))`,
    String.raw`(?<header>authorization${IS}["']?)[^\r\n"'\\]+`,
    String.raw`(?<name>${SECRET_NAME}${IS})(?:(?<quote>")(?:\\.|[^"\\\r\n])+|(?<apostrophe>')(?:\\.|[^'\\\r\n])+|[^\s"'&]+)`,
    String.raw`(?<scheme>[a-z][a-z0-9+.-]{0,15}:\/\/)[^\s\/?#"'<>[\]]{1,2048}@`,
    String.raw`(?<bearer>bearer[ \t]{1,8})[a-z0-9._~+\/=-]{16,}`,
    `(?<token>${[
      "gtr_[a-z]{3}_[a-z0-9]{16,}",
      "(?:AKIA|ASIA)[a-z0-9]{16,}",
      "gh[pousr]_[a-z0-9]{20,}",
      "github_pat_[a-z0-9_]{20,}",
      "glpat-[a-z0-9_-]{16,}",
      "xox[a-z]-[a-z0-9-]{10,}",
      "xapp-[a-z0-9-]{10,}",
      "[rs]k_live_[a-z0-9]{16,}",
      // Begins where a word does, so that a word is read once only: two or more parts of a JWT (RFC 7519) or a JWE.
      String.raw`(?<![a-z0-9_-])eyJ[a-z0-9_-]{5,}\.[a-z0-9_-]{5,}(?:\.[a-z0-9_-]*){0,3}`,
    ].join("|")})`,
    "(?<email>[a-z0-9._%+-]{1,64}@(?:[a-z0-9-]{1,63}\\.){1,8}[a-z]{2,24})",
    // Numbers of cards, in one piece or in the usual groups. A time in milliseconds has thirteen digits and stays.
    String.raw`(?<digits>\d{14,}|\d{4}(?:[ -]\d{4}){2}[ -]\d{2,7}|\d{4}[ -]\d{6}[ -]\d{4,5})`,
  ].join("|"),
  "gi",
);

type Groups = Partial<
  Record<"private_key" | "header" | "name" | "quote" | "apostrophe" | "scheme" | "bearer" | "token" | "email", string>
>;

function replacement(...found: unknown[]): string {
  const groups = found.at(-1) as Groups;
  if (groups.private_key !== undefined) return mark("private_key");
  if (groups.header !== undefined) return groups.header + mark("secret");
  if (groups.name !== undefined) return groups.name + (groups.quote ?? groups.apostrophe ?? "") + mark("secret");
  if (groups.scheme !== undefined) return `${groups.scheme}${mark("credentials")}@`;
  if (groups.bearer !== undefined) return groups.bearer + mark("token");
  if (groups.token !== undefined) return mark("token");
  return mark(groups.email !== undefined ? "email" : "digits");
}
