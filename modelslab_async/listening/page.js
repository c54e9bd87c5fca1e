"use strict";
// The page of one batch. All text of prompts, servers and files is set as text, never as HTML.
(() => {
const $ = id => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const rows = new Map(), decided = new Map(), families = new Map();
const audio = new Audio(), ahead = new Audio();
const narrow = matchMedia("(max-width: 700px)");
const OPEN = new Set(["submitting", "submitted", "ready", "detached"]);
const BROKEN = new Set(["rejected", "failed", "output_lost", "ambiguous", "abandoned"]);
let { money, advice, running, seen } = data;
let shown = [], ordered = [], at = 0, filter = "all", sounding = null, seekTo = null;
const undone = [], unsent = [];
let connected = true, sending = false;
audio.preload = ahead.preload = "auto";

// --- making elements ------------------------------------------------------------------------------

function el(tag, kind, ...inside) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.append(...inside);
  return made;
}
const SHAPES = {
  play: "M4 2.2v11.6a.7.7 0 0 0 1.1.6l9-5.8a.7.7 0 0 0 0-1.2l-9-5.8A.7.7 0 0 0 4 2.2z",
  pause: "M4 2h3v12H4zM9 2h3v12H9z",
  keep: "M6.3 12.6 1.9 8.2l1.5-1.5 2.9 2.9 6.3-6.4 1.5 1.5z",
  reject: "m8 6.6 4.1-4.2 1.5 1.5L9.4 8l4.2 4.1-1.5 1.5L8 9.4l-4.1 4.2-1.5-1.5L6.6 8 2.4 3.9l1.5-1.5z",
  star: "m8 1.2 2.1 4.3 4.7.7-3.4 3.3.8 4.7L8 12l-4.2 2.2.8-4.7L1.2 6.2l4.7-.7z",
  warn: "M8 1.2 15.2 14H.8zM7.2 5.6v4h1.6v-4zm0 5.2v1.6h1.6v-1.6z",
  wait: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm.8 3v3.7l2.5 1.5-.8 1.3-3.2-2V4z",
  file: "M3 1h7l3 3v11H3zm6 1.5V5h2.5z",
};
function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", SHAPES[name]);
  svg.append(path);
  return svg;
}
function button(kind, label, act, ...inside) {
  const made = el("button", kind, ...inside);
  made.type = "button";
  made.setAttribute("aria-label", label);
  made.addEventListener("click", event => { event.stopPropagation(); act(event); release(event); });
  return made;
}
/** After a click the keys go to the list again, and space does not click once more. */
function release(event) {
  if (event.detail > 0) $("list").focus({ preventScroll: true });
}
const clock = s => s == null || !isFinite(s) ? "" :
  `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
const span = s => s >= 3600 ? `${Math.floor(s / 3600)} h ${Math.round(s % 3600 / 60)} min` :
  s >= 120 ? `${Math.round(s / 60)} min` : `${Math.round(s)} s`;
const plural = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;

// --- what is known of the batch -------------------------------------------------------------------

function take(fact) {
  const before = rows.get(fact.row);
  if (before && before.prompt !== fact.prompt)
    families.set(before.prompt, families.get(before.prompt).filter(other => other.row !== fact.row));
  if (before) count(before, -1);
  rows.set(fact.row, fact);
  fact.decision = decided.get(keyOf(fact)) ?? NOTHING;
  count(fact, 1);
  const family = families.get(fact.prompt) ?? [];
  const place = family.findIndex(other => other.row === fact.row);
  if (place >= 0) family[place] = fact; else family.push(fact);
  families.set(fact.prompt, family);
  if (sounding?.row === fact.row && sounding.sha256 === fact.sha256) sounding = fact;
}
const NOTHING = Object.freeze({});
const keyOf = about => `${about.row} ${about.sha256}`;
const decisionOf = r => r.decision;
function remember(decision) {
  decided.set(keyOf(decision), decision);
  const r = rows.get(decision.row);
  if (r?.sha256 !== decision.sha256) return;
  count(r, -1);
  r.decision = decision;
  count(r, 1);
}
/** Add a row to the numbers on the page, or take it out. */
function count(r, by) {
  for (const name in FILTERS) if (FILTERS[name][1](r)) counts[name] += by;
  totals.seconds += by * (r.seconds ?? 0);
  totals.size += by * (r.size ?? 0);
}
const takesOf = r => (families.get(r.prompt) ?? []).filter(other => other.sha256);
const isUnfinished = r => OPEN.has(r.state);
const FILTERS = {
  all: ["All", () => true],
  hear: ["To hear", r => r.sha256 && !decisionOf(r).verdict],
  kept: ["Kept", r => decisionOf(r).verdict === "kept"],
  rejected: ["Rejected", r => decisionOf(r).verdict === "rejected"],
  flagged: ["Flagged", r => r.flags?.length],
  problems: ["Problems", r => BROKEN.has(r.state) || (!running && isUnfinished(r))],
  running: ["Running", r => running && isUnfinished(r)],
  waiting: ["Waiting", r => r.state === "planned"],
};
const counts = Object.fromEntries(Object.keys(FILTERS).map(name => [name, 0])), totals = { seconds: 0, size: 0 };
/** The bars of a row's waveform, 0 to 127. */
function peaksOf(r) {
  if (!r.peaks || r.bars) return r.bars ?? null;
  const text = atob(r.peaks), found = new Uint8Array(text.length);
  let squares = 0;
  for (let i = 0; i < text.length; i++) { found[i] = text.charCodeAt(i); squares += found[i] ** 2; }
  found.loudness = Math.sqrt(squares / Math.max(found.length, 1));
  return r.bars = found;
}
const loudnessOf = r => peaksOf(r)?.loudness ?? 0;
/** How loud a take is played so that all of its prompt sound alike: the louder are attenuated. */
function levelOf(r) {
  const own = loudnessOf(r), others = takesOf(r).map(loudnessOf).filter(Boolean);
  return own && others.length > 1 ? Math.max(0.05, Math.min(...others) / own) : 1;
}
const waited = r => r.at?.[2] && r.at[1] ? r.at[2] - r.at[1] : 0;
const SORTS = {
  row: null, newest: r => -(r.at?.[3] ?? 0), stars: r => -(decisionOf(r).stars ?? 0),
  loud: r => -loudnessOf(r), length: r => -(r.seconds ?? 0), wait: r => -waited(r), prompt: r => r.prompt,
};
/** All text of a row that a search finds, except notes. */
function haystack(r) {
  if (r.text === undefined) {
    const fields = Object.entries(r.fields ?? {}).flat().join(" ");
    r.text = [r.row, r.id, r.prompt, fields, r.state, r.kind, r.error, r.job, r.flags?.join(" ")]
      .join(" ").toLowerCase();
  }
  return r.text;
}

/** After a decision: choose anew only if it may have changed which rows are shown. */
function rechoose(keep) {
  const place = shown.indexOf(keep);
  const depends = ["hear", "kept", "rejected"].includes(filter) || $("sort").value === "stars" || $("search").value;
  if (depends || place < 0) choose(keep); else at = place;
}
/** Choose and sort the rows to show; the same row stays selected where it can. */
function choose(keep = shown[at]) {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = FILTERS[filter][1], value = SORTS[$("sort").value];
  if (ordered.length !== rows.size) ordered = [...rows.values()].sort((a, b) => a.row - b.row).map(r => r.row);
  shown = ordered.map(row => rows.get(row)).filter(r => fits(r) &&
    words.every(word => haystack(r).includes(word) || (decisionOf(r).note ?? "").toLowerCase().includes(word)));
  if (value) {
    const keys = new Map(shown.map(r => [r.row, value(r)]));
    shown.sort((a, b) => {
      const x = keys.get(a.row), y = keys.get(b.row);
      return x < y ? -1 : x > y ? 1 : a.row - b.row;
    });
  }
  const place = keep ? shown.findIndex(r => r.row === keep.row) : 0;
  at = place >= 0 ? place : Math.max(0, Math.min(at, shown.length - 1));
  $("empty").hidden = shown.length > 0;
  $("empty").textContent = !rows.size ? "This batch has no rows yet." : words.length ? "Nothing is found." :
    filter === "hear" ? "Everything is heard." : "No row is like that.";
}

// --- drawing --------------------------------------------------------------------------------------

let colors = {};
function readColors() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["accent", "wave", "rest", "kept", "rejected", "flag", "line", "soft", "ink", "ground"])
    colors[name] = style.getPropertyValue(`--${name}`).trim();
}
/** A canvas in device pixels, empty. Reading a size makes the browser lay out the page. */
function cleared(canvas, w = canvas.clientWidth, h = canvas.clientHeight) {
  const ratio = devicePixelRatio || 1;
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
    canvas.width = Math.round(w * ratio);
    canvas.height = Math.round(h * ratio);
  }
  const g = canvas.getContext("2d");
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, w, h);
  return [g, w, h];
}
function wave(canvas, r, played, ...size) {
  const [g, w, h] = cleared(canvas, ...size), peaks = r && peaksOf(r);
  const color = r && decisionOf(r).verdict === "rejected" ? colors.rest : colors.wave;
  if (!peaks) {
    if (!r?.plays) return;
    g.fillStyle = color; g.fillRect(0, h / 2 - 1, w, 2);
    g.fillStyle = colors.accent; g.fillRect(0, h / 2 - 1, w * played, 2);
    return;
  }
  const step = w > 600 ? 4 : 3, bars = Math.max(1, Math.floor(w / step)), split = Math.ceil(played * bars);
  for (const [first, last, fill] of [[0, split, colors.accent], [split, bars, color]]) {
    g.fillStyle = fill;
    g.beginPath();
    for (let i = first; i < last; i++) {
      const from = Math.floor(i * peaks.length / bars), to = Math.max(from + 1, Math.floor((i + 1) * peaks.length / bars));
      let top = 0;
      for (let j = from; j < to; j++) top = Math.max(top, peaks[j]);
      const y = Math.max(2, top / 127 * h);
      g.rect(i * step, (h - y) / 2, step - 1, y);
    }
    g.fill();
  }
}
const cells = new Map();
const rowHeight = () => narrow.matches ? 104 : 64;
const progress = r => r && sounding?.row === r.row && audio.duration ? audio.currentTime / audio.duration : 0;
const isPlaying = r => r && sounding?.row === r.row && !audio.paused;

function drawList() {
  const list = $("list"), height = rowHeight(), pad = $("rows");
  const first = Math.max(0, Math.floor(list.scrollTop / height) - 2);
  const last = Math.min(shown.length, first + Math.ceil(list.clientHeight / height) + 5);
  pad.style.height = `${shown.length * height}px`;
  const focused = pad.contains(document.activeElement) ? document.activeElement : null;
  const focus = focused && [focused.closest(".row").dataset.row, focused.className];
  const stale = new Set(cells.keys()), waves = [];
  for (let i = first; i < last; i++) {
    const r = shown[i], d = decisionOf(r);
    const state = [i === at, isPlaying(r), d.verdict, d.stars, d.note, list.clientWidth, running].join();
    let cell = cells.get(r.row);
    stale.delete(r.row);
    if (!cell || cell.fact !== r || cell.state !== state) {
      const made = rowElement(r, d, i);
      if (cell) cell.element.replaceWith(made); else pad.append(made);
      cell = { fact: r, state, element: made };
      cells.set(r.row, cell);
      if (r.plays) waves.push([made.querySelector("canvas"), r]);
    }
    cell.element.style.top = `${i * height}px`;
    cell.element.setAttribute("aria-posinset", i + 1);
    cell.element.setAttribute("aria-setsize", shown.length);
  }
  for (const row of stale) { cells.get(row).element.remove(); cells.delete(row); }
  if (waves.length) {
    const w = waves[0][0].clientWidth, h = waves[0][0].clientHeight;  // all are alike
    for (const [canvas, r] of waves) wave(canvas, r, progress(r), w, h);
  }
  if (focus && !document.activeElement?.closest("#rows")) {
    const again = cells.get(+focus[0])?.element.querySelector(`.${focus[1].split(" ").join(".")}`);
    (again ?? list).focus({ preventScroll: true });
  }
}
function rowElement(r, d, i) {
  const made = el("div", `row ${d.verdict ?? ""}`);
  made.setAttribute("role", "listitem");
  if (i === at) made.setAttribute("aria-current", "true");
  made.dataset.row = r.row;
  made.addEventListener("click", () => select(shown.findIndex(other => other.row === r.row)));
  const tags = el("div", "tags");
  for (const flag of r.flags ?? []) tags.append(flagElement(flag, "flag"));
  if (r.error && !r.sha256) tags.append(el("span", "reason", r.error));
  for (const [name, value] of Object.entries(r.fields ?? {})) tags.append(el("span", "", `${name} ${value}`));
  if (d.note) tags.prepend(el("span", "", `"${d.note}"`));
  const length = el("div", "length", r.seconds ? clock(r.seconds) : "");
  if (d.stars) length.append(el("span", "stars", "\u2605".repeat(d.stars)));
  made.append(el("div", "number", String(r.row)), startOf(r),
    el("div", "text", el("div", "prompt", r.prompt || r.id), tags));
  if (r.plays) {
    const canvas = el("canvas");
    canvas.addEventListener("click", event => {
      event.stopPropagation();
      select(shown.findIndex(other => other.row === r.row));
      play(r, event.offsetX / canvas.clientWidth * (r.seconds ?? 0));
    });
    made.append(canvas);
  } else made.append(el("span"));
  made.append(length);
  const choice = el("div", "choice");
  if (r.sha256) for (const [verdict, name] of [["kept", "keep"], ["rejected", "reject"]]) {
    const one = button(`round ${name}`, `${name} row ${r.row}`, () => judge(r, verdict), icon(name));
    one.setAttribute("aria-pressed", d.verdict === verdict);
    choice.append(one);
  }
  made.append(choice);
  return made;
}
/** What a row begins with: a button to play it, or its state. */
function startOf(r) {
  if (r.plays)
    return button("round", `${isPlaying(r) ? "pause" : "play"} row ${r.row}`, () => {
      select(shown.findIndex(other => other.row === r.row));
      toggle(r);
    }, icon(isPlaying(r) ? "pause" : "play"));
  const name = r.sha256 ? "file" : BROKEN.has(r.state) ? "warn" : "wait";
  const made = el("div", `state ${name === "warn" ? "bad" : ""}`, icon(name), el("span", "unseen", words(r.state)));
  made.title = words(r.state);
  return made;
}
const words = name => String(name).replaceAll("_", " ");
const FLAGS = {
  silent: "All of it is silent", dead_tail: "It ends in silence", gap: "There is a gap of silence in it",
  clipped: "Its loudest parts are cut off", dc: "Its mean is not at zero", short: "It is shorter than requested",
  long: "It is longer than requested", same_as: "It is the same sound as that row's",
};
function flagElement(flag, kind) {
  const [name, row] = String(flag).split(":");
  const made = el("span", kind, row ? `${words(name)} row ${row}` : words(name));
  made.title = FLAGS[name] ?? "";
  return made;
}

function drawChips() {
  $("chips").replaceChildren(...Object.entries(FILTERS).flatMap(([name, [label]]) => {
    if (!counts[name] && name !== "all" && name !== filter && !["hear", "kept", "rejected"].includes(name)) return [];
    const chip = el("button", "", label, el("b", "", counts[name].toLocaleString("en")));
    chip.type = "button";
    chip.dataset.filter = name;
    chip.setAttribute("aria-pressed", name === filter);
    chip.addEventListener("click", event => { show(name); release(event); });
    return [chip];
  }));
  const parts = [plural(rows.size, "row"), totals.size ? `${(totals.size / 1e6).toFixed(1)} MB` : ""];
  if (totals.seconds > 0.5) parts.splice(1, 0, `${span(totals.seconds)} of audio`);
  if (money.jobs) {
    parts.push(money.cost === null ? `${plural(money.jobs, "job")} paid` : `${money.cost} paid for ${plural(money.jobs, "job")}`);
    if (money.cost !== null && money.unpriced) parts.push(`${money.unpriced} of unknown price`);
  }
  $("totals").textContent = parts.filter(Boolean).join("  \u00b7  ");
}

let drawnTakes = "";
function drawDock() {
  const r = shown[at], d = r ? decisionOf(r) : {};
  $("title").textContent = r ? r.prompt || r.id : "";
  const facts = $("facts");
  facts.replaceChildren();
  if (r) {
    facts.append(el("span", "", `row ${r.row}`));
    if (r.id) facts.append(el("span", "", r.id));
    facts.append(el("span", "", words(r.state)));
    for (const flag of r.flags ?? []) facts.append(flagElement(flag, "flagged"));
    for (const [name, value] of Object.entries(r.fields ?? {})) facts.append(el("span", "", `${name} ${value}`));
    if (r.size) facts.append(el("span", "", `${(r.size / 1e6).toFixed(1)} MB`));
    if (waited(r)) facts.append(el("span", "", `made in ${span(waited(r) / 1000)}`));
    if (r.cost) facts.append(el("span", "", `cost ${r.cost}`));
    if (r.job) facts.append(el("span", "", `job ${r.job}`));
  }
  const cure = r && !r.sha256 ? advice[r.state] : null;
  $("problem").hidden = !r || !!r.sha256 || !(r.error || cure);
  $("player").hidden = !$("problem").hidden || !r?.plays;
  $("reason").textContent = r && !r.sha256 ? [words(r.state), r.error].filter(Boolean).join(": ") : "";
  $("cure").hidden = !cure?.command;
  $("why").textContent = cure?.text ?? "";
  $("command").textContent = cure?.command ?? "";
  $("judge").hidden = !r?.sha256;
  drawPlayer();
  if (!r?.sha256) return;
  const takes = takesOf(r), state = takes.map(o => [o.row, decisionOf(o).verdict, o === r]).join();
  if (state !== drawnTakes) {
    drawnTakes = state;
    $("takes").replaceChildren(...(takes.length > 1 ? [el("i", "", "Takes"), ...takes.map((o, i) => {
      const verdict = decisionOf(o).verdict, name = take_name(i);
      const one = button("", `take ${name}, row ${o.row}${verdict ? `, ${verdict}` : ""}`, () => compare(o), name);
      if (verdict) one.append(icon(verdict === "kept" ? "keep" : "reject"));
      one.setAttribute("aria-pressed", o === r);
      return one;
    }), el("i", "", "v")] : []));
  }
  $("keep").setAttribute("aria-pressed", d.verdict === "kept");
  $("reject").setAttribute("aria-pressed", d.verdict === "rejected");
  [...$("stars").children].forEach((star, i) => {
    star.classList.toggle("lit", i < (d.stars ?? 0));
    star.setAttribute("aria-pressed", i + 1 === d.stars);
  });
  if (document.activeElement !== $("note")) $("note").value = d.note ?? "";
}
const take_name = i => i < 26 ? String.fromCharCode(65 + i) : String(i + 1);

function drawPlayer() {
  const r = shown[at], now = r && sounding?.row === r.row ? audio.currentTime : 0, length = r?.seconds ?? 0;
  const name = isPlaying(r) ? "pause" : "play";
  if ($("play").dataset.shows !== name) {
    $("play").dataset.shows = name;
    $("play").replaceChildren(icon(name));
    $("play").setAttribute("aria-label", name);
  }
  $("clock").textContent = r?.plays ? `${clock(now)} / ${clock(length || audio.duration)}` : "";
  $("seek").setAttribute("aria-valuemax", Math.round(length));
  $("seek").setAttribute("aria-valuenow", Math.round(now));
  $("seek").setAttribute("aria-valuetext", `${clock(now) || "0:00"} of ${clock(length)}`);
  if (!$("player").hidden) wave($("wave"), r, progress(r));
}
function draw() { drawList(); drawDock(); if (!$("timeline").hidden) drawTimeline(); }
function redraw(keep) { choose(keep); drawChips(); draw(); }
function show(name) { filter = name; at = 0; $("list").scrollTop = 0; redraw(null); announce(); }

// --- moving and playing ---------------------------------------------------------------------------

function select(place, { follow = false } = {}) {
  if (!shown.length || place < 0) return;
  if (document.activeElement === $("note")) { write(); $("note").blur(); }
  at = Math.max(0, Math.min(shown.length - 1, place));
  const list = $("list"), height = rowHeight(), top = at * height;
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + height > list.scrollTop + list.clientHeight) list.scrollTop = top + height - list.clientHeight;
  history.replaceState(null, "", `#row=${shown[at].row}`);
  if (follow && !audio.paused && shown[at].plays) play(shown[at], 0);
  draw();
  announce();
}
function announce() {
  const r = shown[at];
  $("say").textContent = r ? `row ${r.row}, ${r.prompt || r.id}, ${decisionOf(r).verdict ?? words(r.state)}` : "";
}
const addressOf = r => data.live ? `sound/${r.row}?${r.sha256.slice(0, 12)}` : encodeURIComponent(r.file);
function play(r, from = null) {
  if (!r?.plays) return;
  const is_new = sounding?.row !== r.row || sounding.sha256 !== r.sha256;
  if (is_new) { sounding = r; audio.src = addressOf(r); }
  audio.volume = levelOf(r);
  if (from !== null) { if (audio.readyState && !is_new) audio.currentTime = from; else seekTo = from; }
  audio.play().catch(error => { if (error.name === "NotAllowedError") complain("Your browser wants a click before it plays."); });
  const takes = takesOf(r), place = shown.indexOf(r);
  const next = takes.length > 1 ? takes[(takes.indexOf(r) + 1) % takes.length] : shown[place + 1];
  if (next?.plays && next !== r) ahead.src = addressOf(next);
  draw();
}
function toggle(r = shown[at]) {
  if (!r?.plays) return;
  if (isPlaying(r)) audio.pause(); else play(r, sounding?.row === r.row && !audio.ended ? null : 0);
}
/** The next take of the prompt, or this one, from where the current one is. */
function compare(take) {
  const r = shown[at], takes = r ? takesOf(r) : [];
  if (takes.length < 2) return;
  const other = take ?? takes[(takes.findIndex(o => o.row === r.row) + 1) % takes.length];
  const position = sounding && takes.some(o => o.row === sounding.row) ? audio.currentTime : 0;
  let place = shown.findIndex(o => o.row === other.row);
  if (place < 0) {
    $("search").value = ""; filter = "all";
    choose(other); drawChips();
    place = at;
  }
  play(other, Math.min(position, Math.max((other.seconds ?? position) - 0.05, 0)));
  select(place);
}
function skip(by) {
  const r = shown[at];
  if (!r?.plays) return;
  if (sounding?.row !== r.row) { if (by > 0) play(r, by); return; }
  audio.currentTime = Math.max(0, Math.min(audio.duration || 0, audio.currentTime + by));
  draw();
}
audio.addEventListener("loadedmetadata", () => {
  if (seekTo !== null) audio.currentTime = Math.min(seekTo, audio.duration || seekTo);
  seekTo = null;
});
audio.addEventListener("ended", () => {
  const place = sounding ? shown.findIndex(r => r.row === sounding.row) : -1;
  if (place >= 0 && place === at && shown[at + 1]?.plays) { select(at + 1); play(shown[at], 0); } else draw();
});
audio.addEventListener("playing", () => { if (!unsent.length && connected) complain(""); });
audio.addEventListener("error", () => {
  if (!sounding || !audio.error) return;
  const no_output = audio.error.message.includes("Sink");  // Firefox's word where there is no loudspeaker
  complain(no_output ? "The browser has no sound output." :
    `Row ${sounding.row} cannot be played: its file is missing or changed, or the browser does not know its format.`);
});
for (const kind of ["play", "pause", "seeked"]) audio.addEventListener(kind, draw);
function tick() {
  if (!audio.paused) {
    drawPlayer();
    const cell = sounding && cells.get(sounding.row);
    if (cell) wave(cell.element.querySelector("canvas"), sounding, progress(sounding));
  }
  requestAnimationFrame(tick);
}

// --- decisions ------------------------------------------------------------------------------------

function decide(r, change) {
  if (!r?.sha256) return;
  const before = decisionOf(r);
  undone.push({ row: r.row, sha256: r.sha256, before });
  put({ row: r.row, id: r.id, sha256: r.sha256, verdict: null, stars: null, note: "", ...before, ...change });
}
function put(decision) {
  remember(decision);
  keep({ ...decision, at: Date.now() / 1000 });
}
/** Keep or reject a row, or take that back; then go on to the next one to hear. */
function judge(r, verdict, { move = false } = {}) {
  if (!r?.sha256) return;
  const is_same = decisionOf(r).verdict === verdict && !move;
  decide(r, { verdict: is_same ? null : verdict });
  let next = r;
  if (move) {
    const place = shown.findIndex(o => o.row === r.row);
    next = shown.slice(place + 1).find(FILTERS.hear[1]) ?? shown[place + 1] ?? r;
  }
  rechoose(next);
  drawChips();
  if (move) select(at, { follow: next !== r }); else draw();
}
/** Keep the note of the current row, if it was edited. */
function write() {
  const r = shown[at], note = $("note").value.trim();
  if (r?.sha256 && note !== (decisionOf(r).note ?? "")) { decide(r, { note }); rechoose(r); draw(); }
}
function star(count) {
  const r = shown[at];
  if (!r?.sha256) return;
  decide(r, { stars: decisionOf(r).stars === count ? null : count });
  rechoose(r);
  drawChips();
  draw();
}
function undo() {
  const last = undone.pop(), r = last && rows.get(last.row);
  if (!r || r.sha256 !== last.sha256) return;
  put({ row: r.row, id: r.id, sha256: r.sha256, verdict: null, stars: null, note: "", ...last.before });
  rechoose(r);
  if (shown[at]?.row !== r.row) { filter = "all"; choose(r); }
  drawChips();
  select(at);
}
const shelf = `modelslab-listen-${data.batch}`;
function keep(decision) {
  if (data.live) { unsent.push(decision); send(); return; }
  try {
    localStorage.setItem(shelf, JSON.stringify([...decided.values()]));
    status("Decisions stay in this browser: e saves them as a file");
  } catch { complain("This browser keeps nothing for files: press e to save your decisions before you leave."); }
}
async function send() {
  if (sending) return;
  sending = true;
  while (unsent.length) {
    status("Saving");
    try {
      const answer = await fetch("decisions", {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(unsent[0]),
      });
      if (answer.status === 400 || answer.status === 409) complain(`Row ${unsent[0].row}: ${await answer.text()}`);
      else if (!answer.ok) throw new Error(await answer.text() || `status ${answer.status}`);
      else complain("");
      unsent.shift();
    } catch (error) {
      complain(`${plural(unsent.length, "decision")} not saved yet: ${error.message}. Is "listen" still running?`);
      await new Promise(resolve => setTimeout(resolve, 1000));
    }
  }
  sending = false;
  status("");
}
addEventListener("beforeunload", event => { if (unsent.length) event.preventDefault(); });
function save() {
  const lines = [...decided.values()].map(decision => JSON.stringify(decision) + "\n");
  if (!lines.length) { complain("Nothing is decided yet."); return; }
  const link = el("a");
  link.href = URL.createObjectURL(new Blob(lines, { type: "application/jsonl" }));
  link.download = "decisions.jsonl";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
function status(text) {
  const live = connected && data.live && running;
  $("saved").classList.toggle("live", live && !text);
  $("saved").textContent = text || (!data.live ? "" : !connected ? "Not connected" : running ? "Running" : decided.size ? "All decisions are saved" : "");
}
function complain(text) { if ($("alert").textContent !== text) $("alert").textContent = text; }

// --- the timeline ---------------------------------------------------------------------------------

const IDLE = 10 * 60 * 1000, BREAK = 20 * 1000;
let bars = [];
function drawTimeline() {
  const [g, w, h] = cleared($("lanes")), now = Date.now();
  const jobs = [...rows.values()].filter(r => r.at?.[0]).sort((a, b) => a.at[0] - b.at[0]);
  const endOf = r => Math.max(r.at[0], r.at[1] ?? 0, r.at[2] ?? 0, r.at[3] ?? 0, running && isUnfinished(r) ? now : 0);
  bars = [];
  if (!jobs.length) { $("lanes-about").textContent = "Nothing was sent yet."; return; }
  // Long pauses between runs are cut out, and shown as a gap.
  const shifts = [];
  let busy = jobs[0].at[0], cut = 0;
  for (const r of jobs) {
    if (r.at[0] - busy > IDLE) { cut += r.at[0] - busy - BREAK; shifts.push([r.at[0], cut, busy]); }
    busy = Math.max(busy, endOf(r));
  }
  const from = jobs[0].at[0], length = Math.max(busy - cut - from, 1000), foot = 18;
  const shift = t => { let by = 0; for (const [start, all] of shifts) if (t >= start) by = all; return t - by; };
  const x = t => (shift(t) - from) / length * w;
  const lanes = [];  // as slots are: each is free again when the job has ended, before its download
  const freeAt = r => r.at[2] ?? (r.at[3] || isUnfinished(r) ? endOf(r) : r.at[1] ?? r.at[0]);
  for (const r of jobs) {
    let lane = lanes.findIndex(end => end <= r.at[0]);
    if (lane < 0) lane = lanes.length;
    lanes[lane] = freeAt(r);
    bars.push({ r, lane });
  }
  const tall = Math.min(28, (h - foot) / lanes.length), thick = Math.max(1, tall - (tall > 10 ? 7 : tall > 3 ? 2 : 0));
  g.font = "11px system-ui, sans-serif";
  const step = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400].find(s => length / 1000 / s < w / 90) ?? 604800;
  for (let s = 0; s * 1000 <= length; s += step) {
    const place = s * 1000 / length * w;
    g.fillStyle = colors.line; g.fillRect(place, 0, 1, h - foot);
    g.fillStyle = colors.soft; g.fillText(span(s), Math.min(place + 3, w - 40), h - 5);
  }
  for (const bar of bars) {
    const [sent, accepted, finished, done] = bar.r.at, top = bar.lane * tall, broken = BROKEN.has(bar.r.state);
    const part = (a, b, color, y = top, high = thick) => {
      g.fillStyle = color; g.fillRect(x(a), y, Math.max(1, x(b) - x(a) - .5), high);
    };
    Object.assign(bar, { left: x(sent), right: Math.max(x(endOf(bar.r)), x(sent) + 3), top, bottom: top + tall });
    part(sent, accepted ?? freeAt(bar.r), broken && !accepted ? colors.rejected : colors.rest);
    if (accepted) part(accepted, finished ?? freeAt(bar.r), broken ? colors.rejected : colors.wave);
    if (finished && done) part(finished, done, colors.kept, top + thick + (tall > 10 ? 1 : 0), tall > 10 ? 3 : 1);
    if (bar.r === shown[at]) { g.strokeStyle = colors.ink; g.lineWidth = 2; g.strokeRect(bar.left, top, bar.right - bar.left, thick); }
  }
  for (const [start, , before] of shifts) {
    g.fillStyle = colors.ground; g.fillRect(x(before), 0, x(start) - x(before), h - foot);
    g.fillStyle = colors.soft; g.fillText(`${span((start - before) / 1000)} idle`, x(before) + 4, 12);
  }
  $("lanes-about").textContent = `${plural(jobs.length, "job")} in ${span(length / 1000)}, at most ${lanes.length} in the queue at once`;
}
function barAt(event) {
  const { offsetX: x, offsetY: y } = event;
  return bars.findLast(bar => x >= bar.left - 1 && x <= bar.right + 1 && y >= bar.top && y <= bar.bottom);
}
$("lanes").addEventListener("click", event => {
  const bar = barAt(event);
  if (!bar) return;
  if (!shown.includes(bar.r)) { filter = "all"; $("search").value = ""; redraw(bar.r); }
  select(shown.indexOf(bar.r));
});
$("lanes").addEventListener("mousemove", event => {
  const bar = barAt(event);
  $("lanes").title = bar ? `row ${bar.r.row}: ${bar.r.prompt}` : "";
});
function timeline() {
  $("timeline").hidden = !$("timeline").hidden;
  $("timeline-button").setAttribute("aria-pressed", !$("timeline").hidden);
  if (shown.length) select(at); else draw();
}

// --- keys and controls ----------------------------------------------------------------------------

const page = () => Math.max(1, Math.floor($("list").clientHeight / rowHeight()) - 1);
const KEYS = {
  j: () => select(at + 1, { follow: true }), k: () => select(at - 1 < 0 ? 0 : at - 1, { follow: true }),
  ArrowDown: () => select(at + 1, { follow: true }), ArrowUp: () => select(Math.max(0, at - 1), { follow: true }),
  PageDown: () => select(at + page()), PageUp: () => select(Math.max(0, at - page())),
  Home: () => select(0), End: () => select(shown.length - 1),
  " ": () => toggle(), Enter: () => toggle(),
  y: () => judge(shown[at], "kept", { move: true }), n: () => judge(shown[at], "rejected", { move: true }),
  u: undo, v: () => compare(), "[": () => skip(-2), "]": () => skip(2),
  "/": () => $("search").focus(), c: () => { if (!$("judge").hidden) $("note").focus(); },
  f: () => { const names = [...$("chips").children].map(chip => chip.dataset.filter); show(names[(names.indexOf(filter) + 1) % names.length]); },
  g: timeline, e: save, "?": () => $("help").showModal(),
};
for (const count of [1, 2, 3, 4, 5]) KEYS[count] = () => star(count);
addEventListener("keydown", event => {
  const target = event.target, is_text = target.matches?.("input, select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  if (is_text) {
    if (event.key === "Escape" || (event.key === "Enter" && target.tagName === "INPUT")) {
      if (event.key === "Escape" && target === $("search")) { target.value = ""; redraw(); }
      if (target === $("note")) write();  // a window in the background gets no event when a field is left
      $("list").focus({ preventScroll: true });
      event.preventDefault();
    }
    return;
  }
  if ((event.key === " " || event.key === "Enter") && target.matches?.("button, a")) return;
  if (target === $("seek") && event.key.startsWith("Arrow")) {
    skip(event.key === "ArrowRight" || event.key === "ArrowUp" ? 2 : -2);
    event.preventDefault();
    return;
  }
  const act = KEYS[event.key];
  if (act) { event.preventDefault(); act(); }
});
for (const [id, act] of Object.entries({
  keep: () => judge(shown[at], "kept"), reject: () => judge(shown[at], "rejected"), play: () => toggle(),
  "timeline-button": timeline, "help-button": () => $("help").showModal(),
})) $(id).addEventListener("click", event => { act(); release(event); });
$("keep").prepend(icon("keep"));
$("reject").prepend(icon("reject"));
for (const count of [1, 2, 3, 4, 5])
  $("stars").append(button("", plural(count, "star"), () => star(count), icon("star")));
$("seek").addEventListener("click", event => {
  play(shown[at], event.offsetX / $("seek").clientWidth * (shown[at]?.seconds || audio.duration || 0));
});
$("note").addEventListener("blur", write);
$("copy").addEventListener("click", async event => {
  const command = $("command").textContent;
  try { await navigator.clipboard.writeText(command); $("copy").textContent = "Copied"; } catch {
    getSelection().selectAllChildren($("command")); $("copy").textContent = "Selected";
  }
  setTimeout(() => { $("copy").textContent = "Copy"; }, 1500);
  release(event);
});
$("search").addEventListener("input", () => { $("list").scrollTop = 0; redraw(); });
$("sort").addEventListener("change", () => { redraw(); select(at); });
let drawing = false;
$("list").addEventListener("scroll", () => {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => { drawing = false; drawList(); });
}, { passive: true });
addEventListener("resize", draw);
addEventListener("hashchange", jump);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColors(); cells.clear(); $("rows").replaceChildren(); draw(); });
function jump() {
  const row = +(location.hash.match(/^#row=(\d+)$/)?.[1] ?? 0), place = shown.findIndex(r => r.row === row);
  if (place >= 0 && place !== at) select(place);
}

// --- live -----------------------------------------------------------------------------------------

function listen() {
  const stream = new EventSource(`events?seen=${encodeURIComponent(seen)}`);
  stream.addEventListener("message", event => {
    const news = JSON.parse(event.data);
    const was = running, before = JSON.stringify(advice);
    ({ money, advice, running, seen } = news);
    if (was !== running) for (const name in counts) counts[name] = [...rows.values()].filter(FILTERS[name][1]).length;
    news.rows.forEach(take);
    const waiting = new Set(unsent.map(keyOf));
    for (const decision of news.decisions) if (!waiting.has(keyOf(decision))) remember(decision);
    if (news.rows.length || news.decisions.length || was !== running || before !== JSON.stringify(advice)) redraw();
    status("");
  });
  stream.addEventListener("open", () => { connected = true; if (!unsent.length) complain(""); status(""); });
  stream.addEventListener("error", () => {
    connected = false;
    status("");
    if (!unsent.length) complain("The page has lost its server. Start it again with the same command, and open the new address.");
  });
}

$("name").textContent = data.name;
readColors();
data.decisions.forEach(remember);
if (!data.live) {
  try {
    JSON.parse(localStorage.getItem(shelf) ?? "[]").forEach(remember);
  } catch { /* this browser keeps nothing for files; a decision will say so */ }
}
data.rows.forEach(take);
redraw(null);
jump();
status("");
$("list").focus({ preventScroll: true });
requestAnimationFrame(tick);
if (data.live) listen();
performance.mark("ready");
})();
