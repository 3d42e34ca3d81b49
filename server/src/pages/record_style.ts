/** What the pages of runs and of the ledger look like beyond what all pages do. */
export const RECORD_STYLE = `
.wide{overflow-x:auto;margin:.5rem 0}
.wide table{border-collapse:collapse;min-width:100%;font-size:.875rem}
.wide caption{text-align:left;color:var(--soft);padding:.25rem 0}
.wide th,.wide td{text-align:left;vertical-align:top;padding:.35rem .8rem .35rem 0;border-bottom:1px solid var(--line);
overflow-wrap:normal}
.wide th{font-size:.8125rem;color:var(--soft);font-weight:600}
.wide code,.wide time,.wide a{white-space:nowrap}
.wide td a{display:block}
.wide a{font:.8125rem ui-monospace,Menlo,Consolas,monospace}
.wide .n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.log{max-height:36rem;overflow:auto;background:var(--raised);border:1px solid var(--line);border-radius:.3rem}
.log ol{list-style:none;margin:0;padding:.4rem .75rem;max-width:none;font:.8125rem/1.5 ui-monospace,Menlo,Consolas,monospace}
.log li{white-space:pre-wrap}
.log .t{color:var(--soft);margin-right:.5rem}
.log .is-error b{color:var(--bad)}
.log .is-warn b{color:var(--warn)}
.plain{list-style:none;padding:0;margin:0}
.pages{margin-left:-.6rem}
.told{padding-left:1.25rem;max-width:none}
.told li{margin:.5rem 0}
.told ul{color:var(--soft);font-size:.875rem;margin:0}
.told li li{margin:0}
.filter{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:end;margin:1rem 0}
.filter label{margin:0}
.filter select,.filter input,.filter button{width:auto;max-width:100%;height:2.5rem;display:block}
meter{width:8rem;vertical-align:middle}
`;
