# Copyright 2026 The genret authors.
# SPDX-License-Identifier: Apache-2.0
"""How `explain_page` looks and moves: its style sheet and its script.

Without the script a page is whole: links, folds and colours are plain HTML. It
adds that what belongs together lights up together under the pointer.
"""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fbfaf7; --card: #ffffff; --ink: #1d1b18; --soft: #5f5a52;
  --line: #e4dfd5; --link: #1f5fa8; --ring: #1f5fa8; --bar: #ece7dc;
  --m1: #fff6dc; --m2: #ffeab0; --m3: #ffd873; --m4: #ffc03a; --m5: #ffa21a;
  --t1: #1d1b18; --t4: #1d1b18; --edge: #d99a1c; --lit: #e2ebf6;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #151412; --card: #1e1c19; --ink: #ece7dd; --soft: #a39c90;
    --line: #35312b; --link: #8fbcf0; --ring: #8fbcf0; --bar: #2d2a25;
    --m1: #352e1c; --m2: #4b3d17; --m3: #6b5310; --m4: #c8921d; --m5: #f0b23c;
    --t1: #f3eee3; --t4: #17130a; --edge: #b88a2a; --lit: #243242;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 1.5rem clamp(.75rem, 3vw, 2.5rem) 4rem;
  max-width: 84rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", sans-serif;
}
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
:focus-visible {
  outline: 2px solid var(--ring); outline-offset: 2px; border-radius: 2px;
}
.top, .meta, .key, .note, summary { color: var(--soft); font-size: .875rem; }
.top {
  display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; align-items: center;
}
.top h1 { font-size: 1rem; margin: 0; color: var(--ink); }
.top button {
  font: inherit; color: var(--link); background: none; cursor: pointer;
  border: 1px solid var(--line); border-radius: .35rem; padding: .1rem .6rem;
}
.key { display: inline-flex; align-items: center; gap: .4rem; }
.key i { width: 1.1rem; height: .8rem; border-radius: .15rem; }
.key .steps { display: inline-flex; gap: 1px; }
nav { margin: 1rem 0 0; }
nav ol {
  margin: .5rem 0 0; padding-left: 2rem; columns: 24rem auto; column-gap: 2.5rem;
}
.query { margin-top: 2.25rem; }
h2 {
  margin: 0; font-size: 1.5rem; line-height: 1.25; font-weight: 600;
  overflow-wrap: anywhere; text-wrap: balance;
}
.meta { margin: .25rem 0 1rem; }
.meta code, .hit code { font-size: .8125rem; overflow-wrap: anywhere; }
.hits { list-style: none; margin: 0; padding: 0; display: grid; gap: 1rem; }
.hit {
  background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: 1rem clamp(.75rem, 2vw, 1.25rem) 1.1rem;
}
.hit > header {
  display: grid; grid-template-columns: auto 1fr auto; gap: 0 .75rem;
  align-items: baseline;
}
.rank { color: var(--soft); font-variant-numeric: tabular-nums; }
h3 {
  margin: 0; font-size: 1.0625rem; line-height: 1.35; overflow-wrap: anywhere;
}
h3 code { margin-left: .5rem; color: var(--soft); font-weight: 400; }
.score { font-weight: 600; font-variant-numeric: tabular-nums; }
.bar {
  grid-column: 1 / -1; height: .5rem; margin: .5rem 0 .75rem;
  background: var(--bar); border-radius: .25rem; overflow: hidden;
}
.bar > span { display: flex; height: 100%; }
.bar i { flex: 1 1 0; min-width: 0; }
.bar i:not([class]) { background: var(--edge); }
.parts { display: grid; gap: 1rem 2rem; }
@media (min-width: 62rem) {
  .parts.both { grid-template-columns: minmax(0, 1fr) minmax(25rem, 29rem); }
}
.text { overflow-wrap: anywhere; white-space: pre-wrap; max-width: 46rem; }
.text, .asked { line-height: 1.7; }
mark, mark span {
  border-radius: .15rem; scroll-margin: 30vh;
  box-decoration-break: clone; -webkit-box-decoration-break: clone;
}
mark {
  background: var(--m1); color: var(--t1); border-radius: .15rem;
  padding: .08em 0; box-decoration-break: clone;
  -webkit-box-decoration-break: clone; scroll-margin: 30vh;
}
.s1 { background: var(--m1); color: var(--t1); }
.s2 { background: var(--m2); color: var(--t1); }
.s3 { background: var(--m3); color: var(--t1); }
.s4 { background: var(--m4); color: var(--t4); }
.s5 { background: var(--m5); color: var(--t4); }
.bar .s1 { background: var(--m2); }
mark.on, mark:target, mark .on, mark :target {
  box-shadow: 0 0 0 2px var(--ring);
}
.bar i.on { background: var(--ring); }
.gap { display: inline; }
.gap > summary {
  display: inline; cursor: pointer; white-space: nowrap; list-style: none;
  border-bottom: 1px dotted var(--soft);
}
.gap > summary::-webkit-details-marker { display: none; }
.gap[open] > summary { border: 0; font-size: 0; }
.gap[open] > summary::before {
  content: "\\2212"; font-size: .75rem; padding: 0 .35em; margin-right: .35em;
  border: 1px solid var(--soft); border-radius: .2rem;
}
.gap::details-content { display: inline-block; }
.gap[open]::details-content { display: contents; }
.asked { margin: 1rem 0 0; max-width: 46rem; }
.asked h4, .asked summary { margin: 0; font-size: .875rem; font-weight: 600; }
.asked h4 { color: var(--soft); }
.asked details { margin-top: .25rem; }
.asked ul {
  margin: .25rem 0 0; padding-left: 1.25rem; overflow-wrap: anywhere;
}
table {
  width: 100%; border-collapse: collapse; font-size: .875rem; line-height: 1.4;
  table-layout: fixed; font-variant-numeric: tabular-nums;
}
th {
  color: var(--soft); font-weight: 500; text-align: right; white-space: nowrap;
}
th, td { padding: .22rem .35rem; border-bottom: 1px solid var(--line); }
td { text-align: right; vertical-align: baseline; }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; }
col.n { width: 4.1rem; }
col.c { width: 5.1rem; }
col.p { width: 3.4rem; }
tbody tr.on { background: var(--lit); }
tfoot td {
  border-bottom: 0; border-top: 2px solid var(--line); font-weight: 600;
}
td .s {
  padding: .05em .25em; margin-left: -.25em; border-radius: .15rem;
  box-decoration-break: clone; -webkit-box-decoration-break: clone;
}
td a.s:hover { text-decoration: underline; }
.view { color: var(--soft); font-size: .75rem; white-space: nowrap; }
.more { margin-top: .35rem; }
summary { cursor: pointer; }
.empty { color: var(--soft); }
@media (max-width: 30rem) {
  th, td { padding: .2rem .2rem; }
  col.n { width: 3.5rem; }
  col.c { width: 4.4rem; }
  table { font-size: .8125rem; }
  h2 { font-size: 1.25rem; }
}
@media print {
  body { background: none; max-width: none; }
  .hit { break-inside: avoid; }
  .top button { display: none; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""

SCRIPT = """
'use strict';
function light(event, on) {
  if (!(event.target instanceof Element)) return;
  const hit = event.target.closest('.hit');
  const lit = new Set();
  for (let e = event.target.closest('[data-m]'); e;
       e = e.parentElement.closest('[data-m]'))
    lit.add(e.dataset.m);
  if (hit && lit.size)
    for (const e of hit.querySelectorAll('[data-m]'))
      if (lit.has(e.dataset.m)) e.classList.toggle('on', on);
}
for (const [type, on] of [['mouseover', true], ['mouseout', false],
                          ['focusin', true], ['focusout', false]])
  document.addEventListener(type, event => light(event, on));
function unfold() {
  const mark = document.getElementById(location.hash.slice(1));
  for (let e = mark; e; e = e.parentElement)
    if (e.tagName === 'DETAILS') e.open = true;
}
addEventListener('hashchange', unfold);
unfold();
const folds = document.querySelectorAll('.hit details');
if (folds.length) {
  const button = document.createElement('button');
  button.type = 'button';
  const say = () => {
    button.textContent = button.dataset.open ? 'Fold all' : 'Unfold all';
  };
  button.addEventListener('click', () => {
    button.dataset.open = button.dataset.open ? '' : '1';
    for (const fold of folds) fold.open = Boolean(button.dataset.open);
    say();
  });
  say();
  document.querySelector('.top').append(button);
}
"""
