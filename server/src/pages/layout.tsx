import type { Child } from "hono/jsx";
import { Said } from "./parts.tsx";
import { STYLE_PATH } from "./style.ts";
import { seenText } from "./text.ts";
import type { Visitor } from "./visitor.ts";

/** Where a page stands in the navigation. */
export type Place = "inbox" | "reviews" | "runs" | "ledger";

export interface LayoutProps {
  /** Of the page, in front of the product's name. */
  title: string;
  /** Absent where nobody is signed in. */
  visitor?: Visitor | undefined;
  at?: Place;
  /** Asks the browser to load the page again, for what changes by itself. */
  refresh_s?: number | undefined;
  children?: Child;
}

const PLACES: readonly [Place, path: string, name: string][] = [
  ["inbox", "/", "Inbox"],
  ["reviews", "/reviews", "Reviews"],
  ["runs", "/runs", "Runs"],
  ["ledger", "/ledger", "Ledger"],
];

/** Every page: one document, no script, one style sheet of our own. */
export function Layout({ title, visitor, at, refresh_s, children }: LayoutProps) {
  return (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        {refresh_s === undefined ? null : <meta http-equiv="refresh" content={String(refresh_s)} />}
        <title>{`${seenText(title)} · Gantry`}</title>
        <link rel="icon" href={ICON} />
        <link rel="stylesheet" href={STYLE_PATH} />
      </head>
      <body>
        <a class="skip" href="#main">
          Skip to the content
        </a>
        <header class="top">
          <a class="brand" href="/">
            Gantry
          </a>
          {visitor === undefined ? null : <Navigation at={at} />}
          {visitor === undefined ? null : <SignedIn visitor={visitor} />}
        </header>
        <main id="main" tabindex={-1}>
          {children}
        </main>
        <footer>
          <p>
            Times are UTC. What is shown and decided here is asked of <code>/v1</code> with your own token, and recorded
            in the ledger.
          </p>
        </footer>
      </body>
    </html>
  );
}

/** Two posts and a beam. It needs no request of its own. */
const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M1 3h14v3H1zM3 6h2v8H3zM11 6h2v8h-2z' fill='%233a6ea5'/%3E%3C/svg%3E";

function Navigation({ at }: { at: Place | undefined }) {
  return (
    <nav aria-label="Main">
      {PLACES.map(([place, path, name]) => (
        <a href={path} aria-current={place === at ? "page" : undefined}>
          {name}
        </a>
      ))}
    </nav>
  );
}

function SignedIn({ visitor: { me, csrf } }: { visitor: Visitor }) {
  return (
    <form class="who" method="post" action="/logout">
      <input type="hidden" name="csrf" value={csrf} />
      <span>
        <Said text={me.actor.name} /> <small>of {me.tenant.slug}</small>
      </span>
      <button class="quiet" type="submit">
        Sign out
      </button>
    </form>
  );
}
