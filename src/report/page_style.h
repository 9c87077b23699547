// The style sheet and the script of the report page. Neither names anything outside the page.
#pragma once

#include <string_view>

namespace cupel::html {

inline constexpr std::string_view kStyle = R"css(
:root {
  color-scheme: light dark;
  --paper: #faf9f6; --card: #ffffff; --ink: #1f1d1a; --quiet: #67625a; --line: #e4dfd6; --soft: #f2efe8;
  --gold: #9a6f1d; --gold-soft: #d9bd84; --good: #2b6a4b; --bad: #a23b2a; --open: #7d5f0c;
  --good-soft: #e6f1ea; --bad-soft: #f8e7e3; --open-soft: #f7efd9;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #171614; --card: #1f1d1b; --ink: #ece7de; --quiet: #a59e92; --line: #35322d; --soft: #272521;
    --gold: #d8b062; --gold-soft: #7c6437; --good: #86cba6; --bad: #ee9a89; --open: #e2c26c;
    --good-soft: #1d2d24; --bad-soft: #38211c; --open-soft: #332b17;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }
main, footer { max-width: 72rem; margin: 0 auto; padding: 0 1.5rem; }
main { padding-top: 2.25rem; }
footer { padding-top: .5rem; padding-bottom: 3rem; color: var(--quiet); font-size: .875rem; }
h1, h2, h3, p, dl, dd, figure { margin: 0; }
h1 { font-size: clamp(1.6rem, 4.2vw, 2.3rem); line-height: 1.18; font-weight: 650; letter-spacing: -.015em; }
h2 { font-size: 1.2rem; font-weight: 650; margin-bottom: .75rem; }
h3 { font-size: .95rem; font-weight: 650; margin: 1.5rem 0 .5rem; }
section { margin-bottom: 2.75rem; }
.over { color: var(--quiet); font-size: .875rem; margin-bottom: .6rem; overflow-wrap: anywhere; }
.over b { color: var(--gold); font-weight: 650; }
.verdict > :is(h1, h2) { display: flex; gap: .4em; align-items: baseline; margin-bottom: .9rem; overflow-wrap: anywhere; }
.mark { flex: none; display: inline-flex; align-items: center; justify-content: center; width: 1.25em; height: 1.25em;
  border-radius: 50%; font-size: .8em; font-weight: 700; }
.within .mark { color: var(--good); background: var(--good-soft); }
.missed .mark { color: var(--bad); background: var(--bad-soft); }
.undecided .mark { color: var(--open); background: var(--open-soft); }
.open .mark { color: var(--gold); background: var(--soft); }
.lead { font-size: 1.08rem; max-width: 48rem; margin-bottom: .5rem; overflow-wrap: anywhere; }
.quiet { color: var(--quiet); max-width: 48rem; overflow-wrap: anywhere; }
.alarm { border: 1px solid var(--line); border-left: 4px solid var(--open); background: var(--open-soft);
  border-radius: 6px; padding: .9rem 1.1rem; margin: 1.4rem 0 0; }
.alarm h2, .alarm h3 { font-size: 1rem; margin: 0 0 .3rem; }
.alarm ul { margin: 0; padding-left: 1.15rem; overflow-wrap: anywhere; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.range { margin: 1.3rem 0 1.5rem; max-width: 48rem; }
.track { position: relative; height: 5.1rem; }
.track .label { position: absolute; font-size: .8rem; color: var(--quiet); white-space: nowrap; }
.track .label.up { top: 0; } .track .label.down { bottom: 0; }
.label.start { transform: none; } .label.middle { transform: translateX(-50%); } .label.end { transform: translateX(-100%); }
.track .rail { position: absolute; left: 0; right: 0; top: 1.6rem; height: 1.9rem; background: var(--soft);
  border-radius: 6px; overflow: hidden; }
.track .beyond { position: absolute; left: 0; top: 0; bottom: 0; background: var(--bad-soft); }
.track .tick { position: absolute; top: 1.35rem; height: 2.4rem; width: 2px; margin-left: -1px; background: var(--quiet); }
.track .tick.limit { background: var(--bad); }
.track .bar { position: absolute; top: 2.2rem; height: .7rem; min-width: 4px; border-radius: .35rem; background: var(--gold-soft); }
.track .point { position: absolute; top: 1.95rem; height: 1.2rem; width: 4px; margin-left: -2px; border-radius: 2px; background: var(--gold); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--quiet); font-size: .875rem; padding: 0 0 .6rem; }
th, td { text-align: right; padding: .6rem .9rem; border-top: 1px solid var(--line); vertical-align: top; }
thead th { border-top: 0; color: var(--quiet); font-weight: 600; font-size: .875rem; }
.compare thead th { overflow-wrap: anywhere; } .scroll th, .scroll .fine { white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tbody th { font-weight: 500; }
.compare td { width: 24%; } .compare td:last-child { font-weight: 600; }
.fine { display: block; color: var(--quiet); font-size: .8rem; font-weight: 400; line-height: 1.4; }
.flips { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .75rem; }
.flips > div { padding: .8rem 1rem .85rem; }
.flips dt { color: var(--quiet); font-size: .875rem; }
.flips dd { font-size: 1.45rem; font-weight: 650; font-variant-numeric: tabular-nums; line-height: 1.3; }
.scroll { overflow-x: auto; }
.scroll:focus-visible, button:focus-visible { outline: 2px solid var(--gold); outline-offset: 2px; }
.nodes { font-size: .875rem; }
.nodes th, .nodes td { padding: .42rem .6rem; white-space: nowrap; }
.nodes td.left, .nodes th.left { text-align: left; }
.nodes td.name { min-width: 14rem; max-width: 24rem; white-space: normal; overflow-wrap: anywhere; font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .8rem; }
.nodes td.reason { min-width: 12rem; white-space: normal; color: var(--quiet); overflow-wrap: anywhere; }
.nodes tbody tr:hover { background: var(--soft); }
.nodes button { all: unset; cursor: pointer; display: inline-block; min-height: 1.6rem; }
.nodes button::after { content: "\2195"; opacity: .35; padding-left: .3em; font-size: .85em; }
.nodes [aria-sort=ascending] button::after { content: "\2191"; opacity: 1; }
.nodes [aria-sort=descending] button::after { content: "\2193"; opacity: 1; }
.nodes td.sqnr > :last-child { display: inline-block; min-width: 4.4rem; }
.meter { display: inline-block; width: 5rem; height: .55rem; margin-right: .6rem; border-radius: 3px; background: var(--soft); overflow: hidden; text-align: left; }
.meter i { display: block; height: 100%; border-radius: 3px; background: var(--gold); }
.stack { display: inline-flex; width: 9rem; height: .7rem; border-radius: 3px; background: var(--soft); overflow: hidden; vertical-align: middle; }
.stack i { display: block; height: 100%; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; font-size: .85rem; color: var(--quiet); margin-bottom: .8rem; }
.legend i { display: inline-block; width: .75rem; height: .75rem; border-radius: 2px; margin-right: .4rem; vertical-align: -.05rem; }
.part0 { background: #4e79a7; } .part1 { background: #e0a030; } .part2 { background: #c85250; } .part3 { background: #a8a29a; }
.part4 { background: #5fa55a; } .part5 { background: #8e6bb0; } .part6 { background: #4aa3a2; }
.along { padding: 1rem 1.1rem .8rem; margin-bottom: 1rem; }
.along svg { display: block; width: 100%; height: 5rem; }
.along rect { fill: var(--gold-soft); } .along rect:hover { fill: var(--gold); }
.along p { color: var(--quiet); font-size: .85rem; margin-top: .5rem; }
.facts { display: grid; grid-template-columns: minmax(8rem, 13rem) 1fr; gap: .3rem 1.2rem; font-size: .92rem; }
.facts dt { color: var(--quiet); overflow-wrap: anywhere; } .facts dd { overflow-wrap: anywhere; }
pre { margin: 0; padding: .9rem 1.1rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
code, .hash { font-family: ui-monospace, "DejaVu Sans Mono", monospace; }
.hash { font-size: .78rem; color: var(--quiet); overflow-wrap: anywhere; }
.list { padding-left: 1.15rem; margin: 0; overflow-wrap: anywhere; } .list li { margin-bottom: .35rem; }
.tag { font-size: .78rem; font-weight: 600; padding: .05rem .45rem; border-radius: 4px; background: var(--soft); color: var(--quiet); margin-right: .35rem; }
.tag.deviation, .tag.caution { background: var(--open-soft); color: var(--open); }
@media (max-width: 36rem) {
  body { font-size: 15px; }
  main, footer { padding-left: 1rem; padding-right: 1rem; }
  .compare thead tr, .compare tbody tr { display: grid; grid-template-columns: repeat(var(--columns), 1fr); }
  .compare thead tr > :first-child { display: none; }
  .compare tbody th { grid-column: 1 / -1; padding-bottom: 0; color: var(--quiet); font-size: .85rem; }
  .compare tbody td { width: auto; border-top: 0; padding-top: .2rem; }
  .compare td, .compare th { text-align: left; padding-left: .8rem; padding-right: .3rem; }
  .nodes td.name { min-width: 11rem; }
  .facts { grid-template-columns: 1fr; gap: 0; } .facts dd { margin-bottom: .5rem; }
}
@media print { body { background: #fff; } .scroll { overflow: visible; } }
)css";

// Sorts a table of class "nodes" by the column whose button is pressed: numbers by the value of their <data> element,
// text by locale; rows without a value stay last either way.
inline constexpr std::string_view kScript = R"js(
for (const table of document.querySelectorAll("table.nodes")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const key = (row, column) => {
    const cell = row.cells[column];
    if (cell.dataset.rank !== undefined) return Number(cell.dataset.rank);
    const data = cell.querySelector("data");
    return data ? Number(data.value) : cell.textContent.trim() || null;
  };
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const rising = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const rows = [...body.rows].map((row) => [key(row, column), row]);
      rows.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
        return rising ? order : -order;
      });
      body.append(...rows.map(([, row]) => row));
    });
  });
}
)js";

}  // namespace cupel::html
