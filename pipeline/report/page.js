
"use strict";
(() => {
  // Everything that a manifest says is put in as text, never as markup.
  const PAGE = 50;
  const data = JSON.parse(document.getElementById("data").textContent);
  const rows = data.rows;
  const at = (id) => document.getElementById(id);
  const state = { page: 0, shown: rows };

  function make(tag, name, text) {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  }
  const put = (parent, ...children) => { parent.append(...children.filter(Boolean)); return parent; };
  const percent = (rate) => `${(100 * rate).toFixed(rate && rate < 0.1 ? 1 : 0)}\u202f%`;
  const signed = (value, text) => (value < 0 ? "\u2212" : "+") + text(Math.abs(value));
  const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
  const grade = (rate) => (rate <= 0.05 ? "good" : rate <= 0.2 ? "fair" : rate <= 0.5 ? "poor" : "bad");
  const metric = (row) => (row.unit === "char" ? "CER" : "WER");

  // ---- sound: one audio element, so that only one voice speaks at a time

  const audio = new Audio();
  audio.id = "audio";
  audio.hidden = true;
  document.body.append(audio);
  let current = null;

  function addressOf(source) {
    if (source.href) return source.href;
    const clip = at(source.clip);
    const bytes = Uint8Array.from(atob(clip.textContent), (c) => c.charCodeAt(0));
    return URL.createObjectURL(new Blob([bytes], { type: clip.dataset.mime }));
  }

  function select(player) {
    if (current === player) return;
    if (current) { audio.pause(); current.rest(); }
    if (audio.src.startsWith("blob:")) URL.revokeObjectURL(audio.src);
    current = player;
    audio.src = addressOf(player.source);
  }

  for (const event of ["play", "pause", "timeupdate", "loadedmetadata", "ended"])
    audio.addEventListener(event, () => current && current.draw());
  audio.addEventListener("error", () => current && current.fail());

  function makePlayer(source, kind, name, row, seconds) {
    const box = make("div", `player ${kind}`);
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", `${name} of ${row.id}`);
    const button = make("button", "play");
    button.type = "button";
    const slider = make("input");
    slider.type = "range";
    slider.min = 0; slider.max = 1; slider.step = 0.001; slider.value = 0;
    slider.setAttribute("aria-label", `Position in the ${name.toLowerCase()}`);
    const time = make("span", "time", seconds ? clock(seconds) : "");
    const line = put(make("div", "line"), make("span", "what", name), time);
    put(box, button, put(make("div", "track"), line, slider));
    const player = {
      source,
      toggle() {
        select(player);
        if (audio.paused) audio.play().catch(() => {}); else audio.pause();
      },
      draw() {
        if (box.classList.contains("broken")) return; // what it says must not be written over
        const playing = !audio.paused && !audio.ended;
        const whole = Number.isFinite(audio.duration) ? audio.duration : seconds || 0;
        box.classList.toggle("playing", playing);
        button.setAttribute("aria-label", `${playing ? "Pause" : "Play"} the ${name.toLowerCase()} of ${row.id}`);
        slider.value = whole ? audio.currentTime / whole : 0;
        slider.setAttribute("aria-valuetext", `${clock(audio.currentTime)} of ${clock(whole)}`);
        time.textContent = `${clock(audio.currentTime)} / ${clock(whole)}`;
      },
      rest() {
        box.classList.remove("playing");
        button.setAttribute("aria-label", `Play the ${name.toLowerCase()} of ${row.id}`);
        slider.value = 0;
        if (seconds) time.textContent = clock(seconds);
      },
      fail() {
        box.classList.add("broken");
        box.classList.remove("playing");
        time.textContent = source.href ? "file not found here" : "cannot be played";
      },
    };
    player.rest();
    button.addEventListener("click", player.toggle);
    slider.addEventListener("input", () => {
      select(player);
      const seek = () => { audio.currentTime = slider.value * audio.duration; };
      if (audio.readyState) seek(); else audio.addEventListener("loadedmetadata", seek, { once: true });
    });
    return box;
  }

  // ---- one row

  function scoreOf(row) {
    const box = make("div", "score");
    if (!row.ok) return put(box, make("p", "big bad", "failed"));
    if (row.rate === undefined) put(box, make("p", "big", "\u2013"));
    else put(box, put(make("p", `big ${grade(row.rate)}`, percent(row.rate)), make("small", "", ` ${metric(row)}`)));
    const fact = (name, value) => value && put(make("p"), `${name} `, make("b", "", value));
    put(box, fact("similarity", row.sim !== undefined && row.sim.toFixed(2)), fact("length", row.s !== undefined && `${row.s.toFixed(1)} s`));
    const before = row.before;
    const add = (name, was, delta, better, shown) => {
      const line = put(fact(name, was), " ");
      const same = Math.abs(delta) < 0.0005;
      put(box, put(line, same ? "(the same)" : make("b", better ? "good" : "bad", signed(delta, shown))));
    };
    const rise = (name) => (before && before[name] !== undefined && row[name] !== undefined ? row[name] - before[name] : null);
    const rate = rise("rate"), sim = rise("sim");
    if (rate !== null) add(`${metric(row)} was`, percent(before.rate), rate, rate < 0, (x) => (100 * x).toFixed(0));
    if (sim !== null) add("sim. was", before.sim.toFixed(2), sim, sim > 0, (x) => x.toFixed(2));
    if (before && !before.ok) put(box, make("p", "good", "failed there"));
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

  function detailsOf(row) {
    const list = make("dl");
    const add = (name, value) => value !== undefined && value !== "" && put(list, make("dt", "", name), make("dd", "", value));
    add("row", String(row.row));
    add("heard", row.heard);
    if (row.counts) {
      const [s, d, i, n] = row.counts;
      add("differences", `${s} substituted, ${d} deleted, ${i} inserted, of ${n} ${row.unit === "char" ? "characters" : "words"}`);
    }
    add("not scored", row.why);
    add(row.promptHeard ? "reference, as heard" : "reference says", row.prompt);
    if (row.before) add("heard there", row.before.heard);
    for (const [name, value] of row.more || []) add(name.replaceAll("_", " "), value);
    for (const element of list.querySelectorAll("dd")) element.dir = "auto";
    return put(make("details"), make("summary", "", "Details"), list);
  }

  function cardOf(row) {
    const card = make("li", "row");
    card.tabIndex = -1;
    card.dataset.id = row.id;
    const who = put(make("p", "who"), make("span", "id", row.id), make("span", "", row.voice), make("span", "", row.lang));
    const asked = make("p", "asked", row.text || "");
    asked.dir = "auto";
    if (row.lang) asked.lang = row.lang;
    const said = put(make("div", "said"), who, asked);
    if (!row.ok) put(said, put(make("p", "fault"), make("b", "", row.code || "unknown"), `: ${row.error || ""}`));
    else put(said, heardOf(row));
    put(said, detailsOf(row));
    const players = make("div", "players");
    if (row.ok && !row.audio) put(players, make("p", "silent", "the result is not in this page"));
    if (row.audio) put(players, makePlayer(row.audio, "result", "Result", row, row.s));
    if (row.ref) put(players, makePlayer(row.ref, "reference", "Reference", row));
    return put(card, scoreOf(row), said, players);
  }

  // ---- which rows, in which order

  const STATUS = [
    ["", "all", () => true],
    ["ok", "ok", (row) => row.ok],
    ["failed", "failed", (row) => !row.ok],
    ["differs", "heard otherwise", (row) => row.rate > 0],
    ["unscored", "ok, no WER", (row) => row.ok && row.rate === undefined],
    ["sound", "with sound", (row) => row.audio !== undefined],
  ];
  const last = (value, direction) => (value === undefined ? Infinity : direction * value);
  const change = (row, name) => {
    const before = row.before && row.before[name];
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
  function counted(key, all) {
    const counts = new Map();
    for (const row of rows) if (row[key]) counts.set(row[key], (counts.get(row[key]) || 0) + 1);
    const names = [...counts.keys()].sort((a, b) => a.localeCompare(b));
    return [["", all], ...names.map((name) => [name, `${name} (${counts.get(name)})`])];
  }
  fill(at("voice"), counted("voice", "all"));
  fill(at("lang"), counted("lang", "all"));
  fill(at("status"), STATUS.map(([value, text, test]) => [value, value ? `${text} (${rows.filter(test).length})` : text]));
  fill(at("sort"), SORTS);

  const haystacks = new Map();
  function haystack(row) {
    if (!haystacks.has(row))
      haystacks.set(row, [row.id, row.text, row.heard, row.code, row.error, row.voice].join("\n").toLowerCase());
    return haystacks.get(row);
  }

  function update() {
    const wanted = at("search").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const voice = at("voice").value, lang = at("lang").value;
    const test = STATUS.find(([value]) => value === at("status").value)[2];
    const key = SORTS.find(([value]) => value === at("sort").value)[2];
    let found = rows.filter((row) => (!voice || row.voice === voice) && (!lang || row.lang === lang)
      && test(row) && wanted.every((word) => haystack(row).includes(word)));
    if (key) found = found.map((row, i) => [key(row), i, row]).sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[1] - b[1])).map((item) => item[2]);
    state.shown = found;
    state.page = 0;
    at("clear").hidden = !(wanted.length || voice || lang || at("status").value);
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

  let timer = 0;
  at("search").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(update, 120); });
  for (const id of ["voice", "lang", "status", "sort"]) at(id).addEventListener("change", update);
  at("tools").addEventListener("submit", (event) => { event.preventDefault(); update(); });
  at("previous").addEventListener("click", () => turn(-1));
  at("next").addEventListener("click", () => turn(1));
  at("clear").addEventListener("click", () => {
    for (const id of ["search", "voice", "lang", "status"]) at(id).value = "";
    update();
    at("search").focus();
  });
  for (const button of document.querySelectorAll("[data-code]"))
    button.addEventListener("click", () => {
      for (const id of ["voice", "lang"]) at(id).value = "";
      at("status").value = "failed";
      at("search").value = button.dataset.code;
      update();
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
})();
