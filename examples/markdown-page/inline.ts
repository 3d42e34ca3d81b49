const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

export const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (char) => ENTITIES[char] ?? char);

/** `code`, `[text](address)`, `**strong**` and `*emphasis*`, whichever comes first. */
const MARK =
  /`(?<code>[^`]+)`|\[(?<text>[^\]]+)\]\((?<address>[^()\s]+)\)|\*\*(?<strong>[^*]+)\*\*|\*(?<emphasis>[^*]+)\*/;

/** Inline Markdown of one paragraph as HTML; all that is not a mark is escaped. */
export function inline(markdown: string): string {
  const match = MARK.exec(markdown);
  if (!match?.groups) return escapeHtml(markdown);
  const { code, text, address, strong, emphasis } = match.groups;
  const before = escapeHtml(markdown.slice(0, match.index));
  const after = inline(markdown.slice(match.index + match[0].length));
  if (code !== undefined) return `${before}<code>${escapeHtml(code)}</code>${after}`;
  if (strong !== undefined) return `${before}<strong>${inline(strong)}</strong>${after}`;
  if (emphasis !== undefined) return `${before}<em>${inline(emphasis)}</em>${after}`;
  return `${before}${link(text ?? "", address ?? "")}${after}`;
}

function link(text: string, address: string): string {
  if (!/^(https?:\/\/|mailto:)/i.test(address)) return escapeHtml(`[${text}](${address})`);
  return `<a href="${escapeHtml(address)}" rel="noopener">${inline(text)}</a>`;
}
