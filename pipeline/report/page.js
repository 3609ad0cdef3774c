// Which rows, in which order; and what a person does.

const PAGE = 50;
const state = { page: 0, shown: rows };
const fault = (code, stage) => `failed: ${code} in ${stage}`;
const faultOf = (row) => (row.status === "failed" ? fault(row.code || "unknown", row.stage || "unknown") : "");
const faults = [...new Set(rows.map(faultOf).filter(Boolean))].sort();
const STATUS = [
  ["", "all", () => true],
  ["ok", "ok", (row) => row.status === "ok"],
  ["failed", "failed", (row) => row.status === "failed"],
  ...faults.map((name) => [name, name, (row) => faultOf(row) === name]),
  ["differs", "heard otherwise", (row) => row.rate > 0],
  ["unscored", "ok, no error rate", (row) => row.status === "ok" && row.rate === undefined],
  ["sound", "with sound", (row) => row.audio !== undefined],
];
const last = (value, direction) => (value === undefined ? Infinity : direction * value);
// as the tiles have it: of rows that are ok in both
const change = (row, name) => {
  const before = row.status === "ok" && row.before?.status === "ok" ? row.before[name] : undefined;
  return before === undefined || row[name] === undefined ? undefined : row[name] - before;
};
const SORTS = [
  ["worst", "worst first", null],
  ["best", "best first", (row) => last(row.rate, 1)],
  ["unlike", "least similar", (row) => last(row.sim, 1)],
  ["long", "longest", (row) => last(row.s, -1)],
  ["short", "shortest", (row) => last(row.s, 1)],
  ["row", "as in the manifest", (row) => row.row],
];
if (data.compared) {
  STATUS.push(
    ["worse", "worse than there", (row) => change(row, "rate") > 0],
    ["better", "better than there", (row) => change(row, "rate") < 0],
  );
  SORTS.push(
    ["fell", "got worse most", (row) => last(change(row, "rate"), -1)],
    ["rose", "got better most", (row) => last(change(row, "rate"), 1)],
    ["simfell", "lost most similarity", (row) => last(change(row, "sim"), 1)],
  );
}

function fill(select, options) {
  for (const [value, text] of options) {
    const option = make("option", "", text);
    option.value = value;
    select.append(option);
  }
}
function counted(key, all, wordsFor = (value) => value) {
  const counts = new Map();
  for (const row of rows)
    for (const value of [row[key] ?? []].flat()) if (value) counts.set(value, (counts.get(value) || 0) + 1);
  const found = [...counts.keys()].sort((a, b) => a.localeCompare(b));
  return [["", all], ...found.map((value) => [value, `${wordsFor(value)} (${counts.get(value)})`])];
}
fill(at("voice"), counted("voice", "all", clip));
fill(at("lang"), counted("lang", "all"));
fill(at("category"), counted("category", "all"));
fill(at("gate"), counted("gate", "all", (value) => data.outcomes[value] || value));
fill(at("reason"), counted("codes", "all", (value) => data.reasons[value] || value));
fill(at("status"), STATUS.map(([value, text, test]) => [value, value ? `${text} (${rows.filter(test).length})` : text]));
fill(at("sort"), SORTS);

const haystacks = new Map();
function haystack(row) {
  if (!haystacks.has(row))
    haystacks.set(row, [row.id, row.text, row.heard, row.code, row.error, ...row.voice, ...(row.reasons || [])].join("\n").toLowerCase());
  return haystacks.get(row);
}

function update() {
  const wanted = at("search").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const [voice, lang, category, gate, reason] = ["voice", "lang", "category", "gate", "reason"].map((id) => at(id).value);
  const test = STATUS.find(([value]) => value === at("status").value)[2];
  const key = SORTS.find(([value]) => value === at("sort").value)[2];
  let found = rows.filter((row) => (!voice || row.voice.includes(voice)) && (!lang || row.lang === lang)
    && (!category || row.category === category) && (!gate || row.gate === gate) && (!reason || row.codes?.includes(reason))
    && test(row) && wanted.every((word) => haystack(row).includes(word)));
  if (key) found = found.map((row, i) => [key(row), i, row]).sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[1] - b[1])).map((item) => item[2]);
  state.shown = found;
  state.page = 0;
  at("clear").hidden = !(wanted.length || voice || lang || category || gate || reason || at("status").value);
  draw();
}

function draw() {
  const { shown, page } = state;
  const pages = Math.max(1, Math.ceil(shown.length / PAGE));
  const first = page * PAGE, end = Math.min(first + PAGE, shown.length);
  if (current) { audio.pause(); current = null; }
  at("list").replaceChildren(...(shown.length ? shown.slice(first, end).map(cardOf) : [make("li", "none", rows.length ? "No row matches." : "No rows yet.")]));
  const of = shown.length === rows.length ? "" : ` (of ${rows.length.toLocaleString("en")})`;
  at("count").textContent = shown.length > PAGE
    ? `Rows ${first + 1}\u2013${end} of ${shown.length.toLocaleString("en")}${of}`
    : `${shown.length.toLocaleString("en")} ${shown.length === 1 ? "row" : "rows"}${of}`;
  at("pager").hidden = pages === 1;
  at("page").textContent = `${page + 1} of ${pages}`;
  at("previous").disabled = page === 0;
  at("next").disabled = page === pages - 1;
}

function turn(step) {
  state.page += step;
  draw();
  at("rows").scrollIntoView();
  at("rows").focus({ preventScroll: true });
}

// ---- what a person does

const FILTERS = ["voice", "lang", "category", "gate", "reason", "status"];
function choose(values) {
  for (const id of ["search", ...FILTERS]) at(id).value = values[id] || "";
  update();
}

let timer = 0;
at("search").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(update, 120); });
for (const id of [...FILTERS, "sort"]) at(id).addEventListener("change", update);
at("tools").addEventListener("submit", (event) => { event.preventDefault(); update(); });
at("previous").addEventListener("click", () => turn(-1));
at("next").addEventListener("click", () => turn(1));
at("clear").addEventListener("click", () => {
  choose({});
  at("search").focus();
});
for (const button of document.querySelectorAll("[data-code], [data-gate], [data-reason]"))
  button.addEventListener("click", () => {
    const { code, stage, gate, reason } = button.dataset;
    choose(code === undefined ? { gate, reason } : { status: fault(code, stage) });
    at("rows").scrollIntoView();
    at("rows").focus({ preventScroll: true });
  });

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input[type=search], select")) return;
  const cards = [...document.querySelectorAll(".row")];
  const here = cards.indexOf(document.activeElement.closest(".row"));
  const press = (kind) => cards[Math.max(here, 0)]?.querySelector(`.${kind} .play`)?.click();
  const go = (i) => { const card = cards[i]; if (card) { card.focus(); card.scrollIntoView({ block: "nearest" }); } };
  if (event.key === "/") { event.preventDefault(); at("search").focus(); }
  else if (event.key === "j") go(Math.min(here + 1, cards.length - 1));
  else if (event.key === "k") go(Math.max(here - 1, 0));
  else if (event.key === "a") press("result");
  else if (event.key === "r") press("reference");
});

draw();
