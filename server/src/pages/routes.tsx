import type { Hono } from "hono";
import { approvalPage } from "./approval.tsx";
import { STYLE_AGE_S } from "./contract.ts";
import { decisionPages } from "./decisions.tsx";
import { inboxPage } from "./inbox.tsx";
import { recordPages } from "./record_pages.tsx";
import { reviewsPage } from "./reviews.tsx";
import { createPageApp, type PageParts } from "./session.tsx";
import { signInPages } from "./sign_in.tsx";
import { STYLE } from "./style.ts";

/** Pages for people. They ask the API as their visitor, and show what it answers. */
export function pageRoutes(parts: PageParts): Hono {
  const app = createPageApp(parts);
  app.open.get("/pages.css", (c) =>
    c.body(STYLE, 200, {
      "content-type": "text/css; charset=utf-8",
      "cache-control": `public, max-age=${STYLE_AGE_S}, immutable`,
      "x-content-type-options": "nosniff",
    }),
  );
  signInPages(app, parts);
  inboxPage(app);
  reviewsPage(app);
  approvalPage(app);
  decisionPages(app);
  recordPages(app);
  return app.open;
}
