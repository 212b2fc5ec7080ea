/* Guides come before the reference and the pages for contributors; the other figures are those of Sphinx. */
var Scorer = {
  score: ([docname, title, anchor, descr, score]) =>
    /^(api|changelog|contributing|design|evidence)/.test(docname) ? score - 12 : score,
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
