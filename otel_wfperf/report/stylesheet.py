"""The style of the HTML report: light, dark and printed; nothing is fetched."""

from typing import Final

# Kind colors: Okabe and Ito, "Color Universal Design" (2008), darkened or lightened per theme so that white or black
# letters on them have a contrast of at least 4.5 (WCAG 2.2, 1.4.3). A letter repeats what the color says.
STYLESHEET: Final = """
:root {
  color-scheme: light dark;
  --ground: #ffffff; --panel: #f5f6f8; --line: #d5d9e0; --text: #1a1d23; --dim: #565d6a; --letter: #ffffff;
  --path: #111317;
  --workflow: #5b6270; --phase: #00639c; --agent: #8a4a7a; --tool: #9a5b00; --llm: #00735a; --retrieval: #1f6f8b;
  --wait: #b3261e; --other: #6d7480;
  --critical: #a3140c; --high: #b3421e; --medium: #8a5a00; --low: #3f6212; --info: #43546b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14161a; --panel: #1d2026; --line: #383e49; --text: #e8eaee; --dim: #a4acba; --letter: #14161a;
    --path: #f4f5f7;
    --workflow: #9aa3b2; --phase: #5ab4e8; --agent: #d79bc6; --tool: #e6a23c; --llm: #3fc39c; --retrieval: #6cc0dc;
    --wait: #ff8f86; --other: #98a0ad;
    --critical: #ff8a80; --high: #ff9e6d; --medium: #f0b94d; --low: #9ccc65; --info: #9fb3cc;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 1.25rem 1rem 3rem; }
h1 { font-size: 1.2rem; margin: 0 0 1rem; font-weight: 600; }
h2 { font-size: 1.7rem; line-height: 1.2; margin: 2.5rem 0 .6rem; overflow-wrap: anywhere; }
h1 + section h2, nav + section h2 { margin-top: .5rem; }
h3 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
h4 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .35rem 0; }
.dim, caption, .scale { color: var(--dim); }
.mono { font-family: ui-monospace, monospace; font-size: .85em; overflow-wrap: anywhere; }
.facts { display: flex; flex-wrap: wrap; gap: .6rem; margin: 0; padding: 0; }
.facts div { background: var(--panel); border-radius: 6px; padding: .45rem .8rem; }
.facts dt { color: var(--dim); font-size: .8rem; }
.facts dd { margin: 0; font-weight: 600; }
nav ul { padding-left: 1.2rem; margin: 0; }
a { color: var(--phase); }
.kind { display: inline-block; flex: none; width: 1.35em; height: 1.35em; line-height: 1.35em; margin-right: .4em;
  border-radius: 3px; text-align: center; font-size: .78rem; font-weight: 700;
  color: var(--letter); background: var(--kind); }
.workflow { --kind: var(--workflow); } .phase { --kind: var(--phase); } .agent { --kind: var(--agent); }
.tool { --kind: var(--tool); } .llm { --kind: var(--llm); } .wait { --kind: var(--wait); }
.retrieval, .embedding, .memory { --kind: var(--retrieval); }
.plan, .context, .handoff, .other { --kind: var(--other); }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; padding-bottom: .3rem; }
th { text-align: left; font-weight: 600; }
.waterfall { table-layout: fixed; font-size: .88rem; }
.waterfall tr { border-bottom: 1px solid var(--line); }
.waterfall th, .waterfall td { padding: .15rem 0; vertical-align: middle; }
.waterfall thead th { color: var(--dim); font-weight: 400; font-size: .8rem; }
.waterfall .name { width: 31%; padding-right: .6rem; font-weight: 400; }
.waterfall .length { width: 6.2rem; text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.label { display: flex; align-items: center; padding-left: calc(var(--depth) * .8rem); }
.label span:last-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.failed { color: var(--critical); font-weight: 700; }
.scale { display: flex; justify-content: space-between; }
.lane { position: relative; height: 1.25rem; overflow: hidden; }
.lane i { position: absolute; display: block; min-width: 2px; }
.lane .span { top: .2rem; height: .85rem; border-radius: 2px; background: var(--kind); opacity: .38; }
.lane .on-path { top: .2rem; height: .85rem; background: var(--kind); border-bottom: 3px solid var(--path); }
.lane .wait { opacity: 1; border: 1px solid var(--wait);
  background: repeating-linear-gradient(135deg, var(--wait) 0 3px, transparent 3px 7px); }
.waterfall .path th, .waterfall .path td { padding: .35rem 0; }
.path .section { top: .1rem; height: 1.05rem; background: var(--kind); border-right: 1px solid var(--ground);
  border-bottom: 3px solid var(--path); }
.path .section.wait { border: 1px solid var(--wait); border-bottom: 3px solid var(--path);
  background: repeating-linear-gradient(135deg, var(--wait) 0 3px, transparent 3px 7px); }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; padding: 0; margin: .6rem 0 0; list-style: none;
  font-size: .85rem; color: var(--dim); }
.legend li { display: flex; align-items: center; }
.legend .lane { width: 2.2rem; margin-right: .4rem; }
.legend .lane i { left: 0; width: 100%; }
.finding { background: var(--panel); border-left: 5px solid var(--severity); border-radius: 4px; padding: .7rem 1rem;
  margin: .8rem 0; break-inside: avoid; }
.finding.critical { --severity: var(--critical); } .finding.high { --severity: var(--high); }
.finding.medium { --severity: var(--medium); } .finding.low { --severity: var(--low); }
.finding.info { --severity: var(--info); }
.severity { color: var(--severity); text-transform: uppercase; font-size: .8rem; letter-spacing: .04em;
  margin-right: .5em; }
.saving { color: var(--dim); }
.advice { font-weight: 600; }
details { margin-top: .4rem; }
summary { cursor: pointer; color: var(--dim); font-size: .88rem; }
.evidence { width: auto; max-width: 100%; font-size: .85rem; margin: .4rem 0; }
.evidence th, .evidence td { padding: .1rem .9rem .1rem 0; vertical-align: top; overflow-wrap: anywhere; }
.evidence th { font-weight: 400; color: var(--dim); white-space: nowrap; }
.scroll { overflow-x: auto; margin-bottom: 1.2rem; }
.figures { font-size: .88rem; }
.figures th, .figures td { padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); }
.figures td { font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; }
.figures thead th:not(:first-child) { text-align: right; }
.figures tbody th { font-weight: 400; overflow-wrap: anywhere; }
@media (max-width: 640px) {
  .waterfall, .waterfall tbody, .waterfall caption { display: block; }
  .waterfall thead { display: none; }
  .waterfall tr { display: grid; grid-template-columns: 1fr auto; padding: .2rem 0; }
  .waterfall .name, .waterfall .length { width: auto; min-width: 0; }
  .waterfall .bars { grid-column: 1 / -1; order: 3; }
}
@media print {
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  html { font-size: 11px; }
  body { font-size: 1rem; }
  .finding { break-inside: auto; }
  h2, h3, h4, .finding p, tr { break-inside: avoid; break-after: avoid; }
  tr { break-after: auto; }
  main { max-width: none; padding: 0; }
  details::details-content { content-visibility: visible; display: block; height: auto; }
}
"""
