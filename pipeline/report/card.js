// One row.

const VERDICTS = { repaired: "repaired", warned: "warned", rejected: "rejected" };

function scoreOf(row) {
  const box = make("div", "score");
  if (row.status === "failed") return put(box, make("p", "big bad", "failed"));
  if (VERDICTS[row.gate]) put(box, make("p", `verdict ${row.gate}`, VERDICTS[row.gate]));
  if (row.rate === undefined) put(box, make("p", "big", "\u2013"));
  else put(box, put(make("p", `big ${grade(row.rate)}`, percent(row.rate)), make("small", "", ` ${metric(row)}`)));
  const fact = (name, value) => value && put(make("p"), `${name} `, make("b", "", value));
  put(box, fact("similarity", row.sim !== undefined && row.sim.toFixed(2)),
    fact("to ground truth", row.simTruth !== undefined && row.simTruth.toFixed(2)),
    fact("length", row.s !== undefined && `${row.s.toFixed(1)} s`));
  const before = row.before;
  const add = (name, was, delta, better, shown) => {
    const line = put(fact(name, was), " ");
    const same = Number(shown(Math.abs(delta))) === 0; // what reads as nothing
    put(box, put(line, same ? "(the same)" : make("b", better ? "good" : "bad", signed(delta, shown))));
  };
  const rise = (name) => (before && before[name] !== undefined && row[name] !== undefined ? row[name] - before[name] : null);
  const rate = rise("rate"), sim = rise("sim"), truth = rise("simTruth");
  if (rate !== null) add(`${metric(row)} was`, percent(before.rate), rate, rate < 0, (x) => (100 * x).toFixed(1));
  if (sim !== null) add("sim. was", before.sim.toFixed(2), sim, sim > 0, (x) => x.toFixed(2));
  if (truth !== null) add("truth was", before.simTruth.toFixed(2), truth, truth > 0, (x) => x.toFixed(2));
  if (before && before.status !== "ok") put(box, make("p", "good", `${before.status} there`));
  return box;
}

function heardOf(row) {
  const line = make("p", "heard");
  line.dir = "auto";
  put(line, make("span", "label", "heard"));
  if (row.rate === 0) return put(line, "as asked");
  if (row.heard === undefined) return row.why ? put(line, row.why) : null;
  if (row.heard === "") put(line, "nothing ");
  if (!row.diff) return put(line, row.heard);
  const gap = row.unit === "char" ? "" : " ";
  for (const [kind, asked, heard] of row.diff) {
    if (kind === "=") put(line, asked);
    else if (kind === "d") put(line, make("del", "", asked));
    else if (kind === "i") put(line, make("ins", "", heard));
    else put(line, put(make("span", "sub"), make("del", "", asked), make("ins", "", heard)));
    put(line, gap);
  }
  return line;
}

// why the gates warned of the row or rejected it
function reasonsOf(row) {
  if (!row.reasons || !VERDICTS[row.gate]) return null;
  const line = put(make("p", `reasons ${row.gate}`), make("b", "", row.gate === "warned" ? "Warned" : "Rejected"));
  line.dir = "auto";
  return put(line, ` ${row.reasons.map(reasonWords).join("; ")}`);
}

function takesOf(row) {
  if (!row.takes || row.takes.length === 1) return null; // the row itself says all of it
  const table = make("table", "takes");
  const cells = (tag, values) => put(make("tr"), ...values.map((value) => make(tag, "", value)));
  const body = make("tbody");
  row.takes.forEach((take, i) => {
    const rate = take.rate === undefined ? "\u2013" : percent(take.rate);
    const sim = take.sim === undefined ? "\u2013" : take.sim.toFixed(2);
    const line = cells("td", [`${i + 1}`, rate, sim, take.s === undefined ? "\u2013" : `${take.s.toFixed(1)} s`]);
    if (take.rate !== undefined) line.children[1].className = grade(take.rate);
    const why = take.failed ? `failed: ${take.failed}` : (take.reasons || []).map(reasonWords).join("; ") || "passed";
    const said = put(make("td"), take.counts ? make("b", "", "this one counts: ") : null, why);
    said.colSpan = 4;
    if (take.seed) put(said, make("span", "seed", ` seed ${take.seed}`));
    const group = [line, put(make("tr", "why"), said)];
    if (take.counts) for (const part of group) part.classList.add("counts");
    put(body, ...group);
  });
  put(table, put(make("thead"), cells("th", ["take", metric(row), "similarity", "length"])), body);
  const winner = row.takes.findIndex((take) => take.counts) + 1;
  const which = winner ? `, the ${nth(winner)} counts` : "";
  return put(make("details"), make("summary", "", `${row.takes.length} takes${which}`), table);
}

function detailsOf(row) {
  const list = make("dl");
  const add = (name, value, meaning) => value !== undefined && value !== ""
    && put(list, make("dt", "", name), put(make("dd", "", value), meaning && make("small", "meaning", meaning)));
  add("row", String(row.row));
  add("category", row.category);
  add("heard", row.heard);
  if (row.counts) {
    const [s, d, i, n] = row.counts;
    add("differences", `${s} substituted, ${d} deleted, ${i} inserted, of ${n} ${row.unit === "char" ? "characters" : "words"}`);
  }
  add("note", row.why);
  for (const [key, value] of row.measured || []) add(data.measures[key][0], value, data.measures[key][1]);
  add(row.promptHeard ? "reference, as heard" : "reference says", row.prompt);
  for (const { speaker, prompt, promptHeard, description } of row.voices ?? []) {
    add(speaker, prompt, promptHeard ? "the reference, as heard" : "what the reference says");
    add(speaker ?? "voice", description, "the voice, as described");
  }
  if (row.before) add("heard there", row.before.heard);
  for (const [name, value] of row.more || []) add(name.replaceAll("_", " "), value);
  for (const element of list.querySelectorAll("dd")) element.dir = "auto";
  return put(make("details"), make("summary", "", "Details"), list);
}

function cardOf(row) {
  const card = make("li", "row");
  card.tabIndex = -1;
  card.dataset.id = row.id;
  const who = put(make("p", "who"), make("span", "id", row.id),
    ...(row.voices?.map(voiceWords) ?? row.voice).map((words) => make("span", "", words)), make("span", "", row.lang));
  const asked = make("p", "asked", row.text || "");
  asked.dir = "auto";
  if (row.lang) asked.lang = row.lang;
  const said = put(make("div", "said"), who, asked);
  if (row.status === "failed") put(said, put(make("p", "fault"), make("b", "", row.code || "unknown"), `: ${row.error || ""}`));
  else put(said, heardOf(row));
  put(said, reasonsOf(row), takesOf(row), detailsOf(row));
  const players = make("div", "players");
  const what = row.status === "rejected" ? "Best take" : "Result";
  if (row.status !== "failed" && !row.audio) put(players, make("p", "silent", `the ${what.toLowerCase()} is not in this page`));
  if (row.audio) put(players, makePlayer(row.audio, "result", what, row, row.s));
  for (const { ref, speaker } of row.voices ?? [row])
    if (ref) put(players, makePlayer(ref, "reference", speaker ? `Reference ${speaker}` : "Reference", row));
  return put(card, scoreOf(row), said, players);
}
