import { escapeHtml } from "./inline.ts";
import { toHtml } from "./markdown.ts";

const STYLE =
  "body{font:1rem/1.6 system-ui;max-width:42rem;margin:2rem auto;padding:0 1rem}pre{overflow:auto;padding:1rem;background:#f4f4f4}";

/**
 * Turns the Markdown in the request's body (a JSON string) into a whole page. Everything in it is
 * text until proved to be markup: raw HTML is shown, not obeyed, and only http, https and mailto
 * links become links.
 */
export default {
  async fetch(request: Request): Promise<Response> {
    const markdown = await request.json();
    if (typeof markdown !== "string")
      return new Response("The body is one JSON string of Markdown.\n", { status: 400 });
    const { title, body } = toHtml(markdown);
    const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
${body}
</body>
</html>
`;
    return new Response(page, { headers: { "content-type": "text/html; charset=utf-8" } });
  },
};
