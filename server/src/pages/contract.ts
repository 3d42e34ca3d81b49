/** `fetch` of this server itself, over no wire: `env` names the connection that the visitor came by. */
export type ApiPort = (env: unknown) => typeof globalThis.fetch;

/** Holds the visitor's token; `HttpOnly`, so that no script reads it, and `SameSite=Strict`, so that no other site sends it. */
export const SESSION_COOKIE = "gantry_session";
/** A form, whole: a vote with its note, each character of which may take nine bytes here, or a login link. */
export const FORM_BYTES_MAX = 32 * 1024;
/** UTF-16 code units of a vote's note, as the API has it. */
export const VOTE_NOTE_CHARS_MAX = 2_000;
/** UTF-16 code units of the reason for which somebody breaks the glass, as the API has them. */
export const GLASS_FORM_CHARS_MIN = 20;
export const GLASS_FORM_CHARS_MAX = 2_000;
/** Minutes for which a broken glass may hold, as the API has them, and those that the form proposes. */
export const GLASS_FORM_MINUTES_MAX = 240;
export const GLASS_FORM_MINUTES = 30;
/** Decisions that the inbox shows below what waits. */
export const DECIDED_ROWS = 10;
/** Reviews that are owed, in the inbox and in their own list: their reasons are long. */
export const DEBT_ROWS = 3;
export const REVIEW_ROWS = 20;
/** Approvals of broken glasses of which `/reviews` knows what was asked; of others it shows the id. */
export const BROKEN_NAMED_MAX = 200;
/** Actors whose names a page knows; of others it shows the id. */
export const NAMES_MAX = 200;
/** Rows of one list. */
export const PAGE_ROWS = 40;
/** What the first look at a page may take: the document and its style sheet, uncompressed. */
export const PAGE_BYTES_MAX = 30 * 1024;
/** Characters of a path that one is sent on to after signing in. */
export const NEXT_CHARS_MAX = 512;
/** How long a browser may keep the style sheet, whose address changes with its content. */
export const STYLE_AGE_S = 31_536_000;
/** The most that a page takes whose every part is at its limit, and all of it of characters that must be escaped. */
export const FULL_PAGE_BYTES_MAX = 320 * 1024;
/** Characters of a run's result, or of what an entry says, on a page. One that is not seen counts as `UNSEEN_CHARS`. */
export const SHOWN_JSON_CHARS_MAX = 6_000;
/** What the name of a character that is not seen takes, in characters that are. */
export const UNSEEN_CHARS = 16;
/** Characters of what a guest threw, and of any one text beside it. */
export const SHOWN_TEXT_CHARS_MAX = 2_000;
/** Lines of a stack. */
export const SHOWN_STACK_LINES_MAX = 30;
/** Lines of a run's log on one page, and characters of one. */
export const SHOWN_LOG_LINES_MAX = 100;
export const SHOWN_LOG_LINE_CHARS_MAX = 240;
/** Rows of what a run called, and of what was blocked. */
export const SHOWN_CALLS_MAX = 50;
/** Characters of a host, and of what else a guest chose and stands in a cell. */
export const SHOWN_CELL_CHARS_MAX = 120;
/** Lines of a run's timeline, and its entries. */
export const SHOWN_ENTRIES_MAX = 50;
/** Runs that a run started. */
export const SHOWN_CHILDREN_MAX = 50;
/** Ids that an entry names, on a list; its own page has all. */
export const SHOWN_REFS_MAX = 3;
