import { sha256Hex } from "../kernel/hash.ts";
import { RECORD_STYLE } from "./record_style.ts";

/**
 * The one style sheet. Colours are pairs whose contrast was computed to be at least 4.5:1 on both grounds, light and
 * dark (`tests/e2e/pages_approvals.test.ts` asks axe about each page in both).
 */
export const STYLE = `
:root{color-scheme:light dark;--ground:#fff;--raised:#f4f6f8;--line:#c9d1d9;--ink:#1a1f26;--soft:#505a66;--link:#0b57a4;
--act:#0b57a4;--on-act:#fff;--good:#0f6a2f;--good-ground:#e3f5e8;--bad:#a61b1b;--bad-ground:#fdeaea;
--warn:#7a4b00;--warn-ground:#fff3d9;--wait:#0b4f93;--wait-ground:#e5f0fb;--focus:#b3450b}
@media (prefers-color-scheme:dark){:root{--ground:#12161b;--raised:#1b2129;--line:#3a4450;--ink:#e6eaef;--soft:#a5b0bc;
--link:#7db8f5;--act:#2f7fd1;--on-act:#04101d;--good:#7fd79a;--good-ground:#12301d;--bad:#ff9c94;--bad-ground:#3d1a1a;
--warn:#f3c46b;--warn-ground:#38290c;--wait:#8cc3fa;--wait-ground:#122a42;--focus:#ffb16b}}
*{box-sizing:border-box}
html{font:16px/1.5 system-ui,sans-serif;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--ground);color:var(--ink);overflow-wrap:anywhere}
a{color:var(--link)}
:focus-visible{outline:3px solid var(--focus);outline-offset:2px}
main:focus{outline:none}
.skip{position:absolute;left:-999rem;top:0;padding:.5rem 1rem;background:var(--act);color:var(--on-act);z-index:1}
.skip:focus{left:0}
.top{display:flex;flex-wrap:wrap;gap:.25rem 1.5rem;align-items:center;padding:.5rem 1rem;border-bottom:1px solid var(--line);
background:var(--raised)}
.brand{font-weight:700;color:var(--ink);text-decoration:none}
nav{display:flex;gap:.25rem}
nav a{padding:.25rem .6rem;text-decoration:none;border-radius:.3rem}
nav a[aria-current]{background:var(--wait-ground);color:var(--wait);font-weight:600}
.who{display:flex;gap:.6rem;align-items:center;margin:0 0 0 auto}
main,footer{max-width:64rem;margin:0 auto;padding:0 1rem}
footer{color:var(--soft);font-size:.875rem}
footer p{margin-top:3rem;padding:.75rem 0;border-top:1px solid var(--line);max-width:none}
h1{font-size:1.5rem;line-height:1.25;margin:1.5rem 0 .5rem}
h2{font-size:1.125rem;margin:2rem 0 .5rem;padding-top:.75rem;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:1rem 0 .25rem}
p,ul,ol{margin:.5rem 0;max-width:46rem}
small,.soft{color:var(--soft);font-size:.875rem}
code,pre,.hash{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.875em}
.hash{word-break:break-all}
.code,.diff{margin:.5rem 0;padding:.6rem .75rem;max-height:32rem;overflow:auto;background:var(--raised);border:1px solid var(--line);
border-radius:.3rem;font-size:.8125rem;line-height:1.45;overflow-wrap:normal;white-space:pre;tab-size:4}
.diff code{display:block;min-width:max-content}
.diff span.l{display:block}
.diff .add{color:var(--good);background:var(--good-ground)}
.diff .del{color:var(--bad);background:var(--bad-ground)}
.diff .at,.diff .file{color:var(--soft)}
.unseen{padding:0 .2em;border:1px solid currentColor;border-radius:.2em;background:var(--bad-ground);color:var(--bad);
font-family:ui-monospace,monospace;font-size:.8em;white-space:nowrap}
.facts{margin:.5rem 0}
.facts>div{display:grid;grid-template-columns:11rem 1fr;gap:0 1rem;padding:.2rem 0}
.facts dt{color:var(--soft)}
.facts dd{margin:0;min-width:0}
.badge{display:inline-block;padding:0 .5rem;border:1px solid currentColor;border-radius:1rem;font-size:.8125rem;font-weight:600;
white-space:nowrap;color:var(--soft);background:var(--raised)}
.badge.good,.note.good{color:var(--good);background:var(--good-ground)}
.badge.bad,.note.bad{color:var(--bad);background:var(--bad-ground)}
.badge.warn,.note.warn{color:var(--warn);background:var(--warn-ground)}
.badge.wait,.note.wait{color:var(--wait);background:var(--wait-ground)}
.note,.empty{margin:1rem 0;padding:.75rem 1rem;border-radius:.3rem}
.note{border-left:4px solid currentColor}
.note>*:not(.lead),.note a{color:var(--ink)}
.note .lead{margin-top:0}
.empty{border:1px dashed var(--line)}
.lead{font-weight:600}
.rows{width:100%;border-collapse:collapse;margin:.5rem 0}
.rows caption{text-align:left;color:var(--soft);padding:.25rem 0}
.rows th{text-align:left;white-space:nowrap;font-size:.8125rem;color:var(--soft);font-weight:600;padding:.25rem .75rem .25rem 0;
border-bottom:1px solid var(--line)}
.rows td{padding:.5rem .75rem .5rem 0;border-bottom:1px solid var(--line);vertical-align:top}
.rows .warn td:first-child{border-left:4px solid var(--warn);padding-left:.5rem}
.rows .bad td:first-child{border-left:4px solid var(--bad);padding-left:.5rem}
.once{white-space:nowrap}
.aside{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.delta{list-style:none;padding:0}
.delta li{padding:.4rem .75rem;margin:.4rem 0;border-left:4px solid var(--line);background:var(--raised)}
.delta .wider{border-color:var(--bad)}
.fault{color:var(--bad);font-weight:600}
details{margin:1rem 0}
summary{cursor:pointer;color:var(--link)}
label{display:block;font-weight:600;margin:.75rem 0 .25rem}
input[type=text],input[type=search],input[type=number],select,textarea{width:100%;max-width:46rem;font:inherit;padding:.5rem;color:var(--ink);
background:var(--ground);border:1px solid var(--soft);border-radius:.3rem}
input[type=number]{width:8rem}
textarea{min-height:6rem;resize:vertical}
button,.button{font:inherit;font-weight:600;padding:.5rem 1.1rem;border:1px solid transparent;border-radius:.3rem;cursor:pointer;
background:var(--act);color:var(--on-act);text-decoration:none}
button.no{background:transparent;color:var(--bad);border-color:currentColor}
button.quiet{background:transparent;color:var(--link);border-color:var(--line);font-weight:400;padding:.2rem .7rem}
.acts{display:flex;flex-wrap:wrap;gap:.75rem;margin:1rem 0}
.pages{display:flex;gap:1rem;margin:1rem 0}
@media (max-width:40rem){
.who{margin:0;width:100%;justify-content:space-between}
.facts>div{grid-template-columns:1fr;padding:.35rem 0}
.rows thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.rows,.rows tbody,.rows tr,.rows td,.rows caption{display:block}
.rows tr{padding:.5rem 0;border-bottom:1px solid var(--line)}
.rows td{border:0;padding:.1rem 0}
.rows td:empty{display:none}
.rows td[data-head]:not([data-head=""])::before{content:attr(data-head) " ";color:var(--soft);font-size:.8125rem;margin-right:.4rem}
.acts button{flex:1 1 8rem}
}
${RECORD_STYLE}`.trim();

/** Where it is served: the address changes with the content, so that a browser may keep it. */
export const STYLE_PATH = `/pages.css?v=${sha256Hex(STYLE).slice(0, 12)}`;
