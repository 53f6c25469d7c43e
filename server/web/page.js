// page.js - the page at /: asks the daemon's own routes and draws what they answer. No library, no request elsewhere.
"use strict";

const $ = (id) => document.getElementById(id);
const form = $("form"), fields = form.elements;

/** An element: attributes and properties by name, then children (nodes or text). Text is never read as HTML. */
function el(tag, attributes, ...children) {
  const svg = ["svg", "rect", "path", "circle", "line", "text", "g", "title"].includes(tag);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((c) => c !== null && c !== undefined));
  return made;
}
const show = (id, ...children) => $(id).replaceChildren(...children.flat().filter((c) => c !== null));

// ---- numbers ----

function scaled(n, base, units) {
  let i = 0;
  while (Math.abs(n) >= base && i < units.length - 1) { n /= base; i++; }
  return `${i === 0 ? n : n.toPrecision(n >= 1000 ? 4 : 3)} ${units[i]}`;
}
const GIB = 2 ** 30;
const bytes = (n) => scaled(n, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);
const count = (n) => scaled(n, 1000, ["", "thousand", "million", "billion", "trillion"]);
const exact = (n) => `${n.toLocaleString("en")} B`;
const percent = (n) => (n === null ? "not known" : `${n.toFixed(Math.abs(n) < 10 ? 2 : 1)} %`);
const words = (name) => name.replace(/_/g, " ");
function seconds(s) {
  return s >= 1 ? `${s.toPrecision(3)} s` : s >= 1e-3 ? `${(s * 1e3).toPrecision(3)} ms` : `${(s * 1e6).toPrecision(3)} µs`;
}
function strategyText(s) {
  if (typeof s === "string") return s;
  const rest = Object.entries(s).filter(([k]) => k !== "name").map(([k, v]) => `${words(k)} ${Array.isArray(v) ? v.map((x) => (typeof x === "string" ? x : "…")).join(", ") : v}`);
  return rest.length ? `${s.name} (${rest.join("; ")})` : s.name;
}

// ---- the daemon ----

class Refused extends Error {
  constructor(problem) { super(problem.detail || problem.title); this.problem = problem; }
}
const token = $("token");
try { token.value = sessionStorage.getItem("token") || ""; } catch { /* storage is forbidden: the field is enough */ }
token.addEventListener("change", () => {
  try { sessionStorage.setItem("token", token.value); } catch { /* the same */ }
  begin();
});

function ask(path, body, options = {}) {
  const headers = { Accept: "application/json", ...options.headers };
  if (token.value) headers.Authorization = `Bearer ${token.value}`;
  if (body) headers["Content-Type"] = "application/json";
  return fetch(path, { method: options.method || (body ? "POST" : "GET"), headers, body: body ? JSON.stringify(body) : undefined, signal: options.signal });
}
async function answer(path, body, options) {
  let response;
  try { response = await ask(path, body, options); } catch (e) {
    if (e.name === "AbortError") throw e;
    throw new Refused({ title: "No answer", detail: "The daemon does not answer: is it running?", status: 0 });
  }
  const text = await response.text();
  if (response.ok) return text ? JSON.parse(text) : null;
  let problem = { title: `Status ${response.status}`, status: response.status };
  try { problem = JSON.parse(text); } catch { /* no problem document */ }
  if (response.status === 401 || response.status === 403) token.closest("details").open = true;
  problem.retry = Number(response.headers.get("Retry-After")) || 0;
  throw new Refused(problem);
}
const problemBox = (p) => el("p", { class: "problem" }, el("b", {}, p.title), p.detail ? `: ${p.detail}` : "", p.pointer ? ` (at ${p.pointer})` : "",
  p.minimum_budget_bytes ? ` The least that would do: ${bytes(p.minimum_budget_bytes)}.` : "");
function told(e, where) {
  if (e.name === "AbortError") return;
  if (!(e instanceof Refused)) throw e;
  show(where, problemBox(e.problem));
}

// ---- the form ----

const parametersOf = {};
/** The last name of a pointer, as the form calls it. */
const fieldOf = { budget_bytes: "budget", layers: "model" };

function blame(pointer, text) {
  const names = (pointer || "").split("/").reverse();
  const name = names.map((n) => fieldOf[n] || n).find((n) => n && fields[n]);
  const field = name === "model" && fields.model.value === "config" ? fields.hf_config : name && fields[name];
  if (!field || field.closest("label").hidden) return;
  const id = `fault-${field.name}`;
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-describedby", id);
  field.closest("label").append(el("span", { class: "fault", id }, text));
}
function blameNobody() {
  form.querySelectorAll(".fault").forEach((f) => f.remove());
  form.querySelectorAll("[aria-invalid]").forEach((f) => { f.removeAttribute("aria-invalid"); f.removeAttribute("aria-describedby"); });
}

/** A number field as what was typed, so that the daemon judges it; undefined where it is empty. */
function typed(name) {
  const text = fields[name].value.trim();
  if (text === "") return fields[name].validity.badInput ? fields[name].value : undefined;
  return Number.isFinite(Number(text)) ? Number(text) : text;
}
function strategyAsked() {
  const name = fields.strategy.value, takes = parametersOf[name] || [], s = { name };
  for (const p of ["n", "k", "segments"]) if (takes.includes(p) && typed(p) !== undefined) s[p] = typed(p);
  if (takes.includes("k") && takes.includes("segments") && s.segments !== undefined) delete s.k;
  if (takes.includes("ops")) s.ops = fields.ops.value.split(/[\s,]+/).filter(Boolean);
  if (takes.includes("objective") && fields.objective.value !== "flops") s.objective = fields.objective.value;
  if (typed("loss_chunk")) s.loss_chunk = typed("loss_chunk");
  return Object.keys(s).length > 1 ? s : name;
}
function asked() {
  const w = { model: fields.model.value };
  if (w.model === "config") {
    try { w.model = { hf_config: JSON.parse(fields.hf_config.value) }; } catch (e) {
      throw new Refused({ title: "No JSON", detail: e.message, pointer: "/workload/model/hf_config" });
    }
  }
  if (typed("seq_len") !== undefined) w.seq_len = typed("seq_len");
  w.batch = typed("batch") ?? 1;
  w.dtype = fields.dtype.value;
  w.attention = fields.attention.value;
  w.optimizer = fields.optimizer.value;
  const passes = typed("gradient_accumulation");
  if (passes !== undefined && passes !== 1) w.gradient_accumulation = passes;
  const q = { workload: w, strategy: strategyAsked() };
  if (fields.device.value) q.device = fields.device.value;
  const budget = typed("budget");
  if (budget !== undefined) q.budget_bytes = typeof budget === "number" ? Math.round(budget * GIB) : budget;
  q.include = ["layers", "explain"];
  return q;
}

function fieldsFit() {
  const name = fields.strategy.value, takes = parametersOf[name] || [];
  for (const label of form.querySelectorAll("[data-parameter]")) label.hidden = !takes.includes(label.dataset.parameter);
  $("strategy-about").textContent = fields.strategy.selectedOptions[0]?.dataset.about || "";
  $("config-label").hidden = fields.model.value !== "config";
  $("loss-label").hidden = name === "auto";
}
/** The form in the address: a link to a question. */
function remember() {
  const kept = new URLSearchParams();
  for (const f of fields) if (f.name && f.value !== "" && !f.closest("[hidden]")) kept.set(f.name, f.value);
  history.replaceState(null, "", `#${kept}`);
}
function recall() {
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) if (fields[name]) fields[name].value = value;
}
/** Sets the form to a strategy of an answer and asks again. */
function take(strategy) {
  const s = typeof strategy === "string" ? { name: strategy } : strategy;
  fields.strategy.value = s.name;
  for (const p of ["n", "k", "segments", "loss_chunk"]) fields[p].value = s[p] ?? "";
  if (s.ops) fields.ops.value = s.ops.join(", ");
  if (s.budget_bytes) fields.budget.value = String(s.budget_bytes / GIB);
  plan();
}

// ---- a plan ----

function figure(name, value, about) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, value, about ? el("small", {}, about) : null));
}
function verdict(p) {
  const budget = p.budget_bytes;
  const peak = `${bytes(p.peak_bytes)}${budget ? ` of ${bytes(budget)}` : ""}`;
  show("verdict", p.feasible
    ? el("p", { class: "yes" }, el("b", {}, budget ? "It fits" : "It takes"), ` ${budget ? "in " : ""}${peak} under ${strategyText(p.strategy)}.`)
    : el("p", { class: "no" }, el("b", {}, "It does not fit"), `: ${peak} under ${strategyText(p.strategy)}.`,
      p.minimum_budget_bytes ? ` The least budget of this strategy: ${bytes(p.minimum_budget_bytes)}.` : ""));
  show("figures",
    figure("Peak", bytes(p.peak_bytes), exact(p.peak_bytes)),
    figure("Saved", percent(p.memory_saved_pct), `of ${bytes(p.standard.peak_bytes)} that keep everything`),
    figure("Overhead", percent(p.compute_overhead_pct), p.flops ? `${p.flops.recompute.toExponential(2)} FLOPs again` : null),
    p.step_seconds === null ? null : figure(p.device === "host" ? "Step, here" : "Step, at least", seconds(p.step_seconds), `${Math.round(p.tokens_per_step / p.step_seconds).toLocaleString("en")} tokens/s${p.device === "host" ? "" : " at most"}`),
    figure("Model", count(p.model.parameters), `parameters, ${p.model.family}`));
}

/** Drawings are as wide as their place, so that their text has its size. */
const room = (id) => Math.max(300, $(id).clientWidth);
let redraw = () => {};
addEventListener("resize", () => redraw());

/** What the peak is made of: [name, bytes], of persistent bytes, the highest step, and what the layout adds. */
function categories(p) {
  const rows = [["parameters", p.memory.parameters_bytes], ["gradients", p.memory.gradients_bytes], ["optimizer", p.memory.optimizer_bytes]];
  if (p.peak_at) for (const [name, n] of Object.entries(p.peak_at.memory)) rows.push([name.replace(/_bytes$/, ""), n]);
  else rows.push(["saved_activations", p.memory.saved_activations_bytes]);
  const rest = p.peak_bytes - rows.reduce((sum, [, n]) => sum + n, 0);
  if (rest > 0) rows.push(["layout", rest]);
  return rows.filter(([, n]) => n > 0);
}
function drawBar(p) {
  const width = room("bar"), most = Math.max(p.peak_bytes, p.standard.peak_bytes, p.budget_bytes || 0), x = (n) => (n / most) * width;
  const rows = categories(p), parts = [];
  let at = 0;
  for (const [name, n] of rows) {
    parts.push(el("rect", { x: x(at), y: 18, width: Math.max(x(n), 0.5), height: 34, class: name }, el("title", {}, `${words(name)}: ${exact(n)}`)));
    at += n;
  }
  const whole = el("rect", { x: 0.5, y: 60, width: Math.max(x(p.standard.peak_bytes) - 1, 1), height: 16, class: "whole" }, el("title", {}, `standard: ${exact(p.standard.peak_bytes)}`));
  const said = [el("text", { x: 6, y: 73 }, `keeping everything: ${bytes(p.standard.peak_bytes)}`)];
  if (p.budget_bytes) {
    const right = x(p.budget_bytes) > width / 2;
    said.push(el("line", { x1: x(p.budget_bytes), x2: x(p.budget_bytes), y1: 2, y2: 84, class: "budget" }),
      el("text", { x: x(p.budget_bytes) + (right ? -6 : 6), y: 12, "text-anchor": right ? "end" : "start" }, `budget ${bytes(p.budget_bytes)}`));
  }
  const label = `Peak of ${bytes(p.peak_bytes)}: ${rows.map(([name, n]) => `${words(name)} ${bytes(n)}`).join(", ")}`;
  show("bar", el("svg", { viewBox: `0 0 ${width} 86`, role: "img", "aria-label": label }, parts, whole, said));
  show("legend", rows.map(([name, n]) => el("li", { title: exact(n) }, el("i", { class: name }), words(name), el("span", {}, bytes(n)))));
}
function drawLayers(layers) {
  const about = (l) => `Layer ${l.layer}: keeps ${bytes(l.kept_bytes)}${l.recomputed_bytes ? `, makes ${bytes(l.recomputed_bytes)} again (${[...new Set(l.recompute)].join(", ")})` : ", recomputes nothing"}`;
  const most = Math.max(1, ...layers.map((l) => l.kept_bytes + l.recomputed_bytes));
  const share = (kind, n) => {
    const part = el("i", { class: kind });
    part.style.height = `${(100 * n) / most}%`;
    return part;
  };
  show("layers", layers.map((l, i) => {
    const tell = () => show("layer-about", about(l));
    return el("button", { type: "button", "aria-label": about(l), title: about(l), tabindex: i ? -1 : 0, focus: tell, mouseenter: tell },
      share("saved_activations", l.kept_bytes), share("recomputed", l.recomputed_bytes));
  }));
  show("layer-about", layers.length ? "Point at a layer, or go through them with the arrow keys." : "Closed forms know no layers.");
}
/** Of many parts only one is reached by Tab; arrow keys, Home and End go through the others. */
function rove(id) {
  $(id).addEventListener("keydown", (e) => {
    const all = [...$(id).querySelectorAll("[tabindex]")], at = all.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[e.key];
    if (to === undefined || at < 0 || !all[to]) return;
    all[at].setAttribute("tabindex", -1);
    all[to].setAttribute("tabindex", 0);
    all[to].focus();
    e.preventDefault();
  });
}
rove("layers");
rove("frontier");

let running = null; // of the last question: a newer one ends it
async function plan() {
  fieldsFit();
  remember();
  blameNobody();
  running?.abort();
  const { signal } = (running = new AbortController());
  $("answers").setAttribute("aria-busy", "true");
  let q;
  try {
    q = asked();
    show("curl", curlOf(q));
    const p = await answer("/v1/plans", q, { signal });
    $("plan").hidden = $("frontier-part").hidden = false;
    verdict(p);
    drawBar(p);
    redraw = () => drawBar(p);
    drawLayers(p.layers || []);
    show("sentences", (p.explain?.sentences || []).map((s) => el("li", {}, s)));
    await frontier(q, p, signal);
  } catch (e) {
    if (e.name !== "AbortError") {
      $("plan").hidden = $("frontier-part").hidden = true;
      redraw = () => {};
      if (e instanceof Refused) blame(e.problem.pointer, e.problem.detail);
    }
    told(e, "verdict");
  } finally {
    if (!signal.aborted) $("answers").removeAttribute("aria-busy");
  }
}
function curlOf(q) {
  const body = JSON.stringify(q, null, 1).replace(/\n\s*/g, " ").replace(/'/g, "'\\''");
  const key = token.value ? " -H \"Authorization: Bearer $TOKEN\"" : "";
  return `curl -s ${location.origin}/v1/plans -H 'Content-Type: application/json'${key} -d '${body}'`;
}

// ---- the frontier ----

async function frontier(q, p, signal) {
  const body = { workload: { ...q.workload, attention: p.attention || q.workload.attention }, points: 24 };
  if (q.device) body.device = q.device;
  show("frontier-status", "Looking for it: some seconds, of deep models…");
  await new Promise((go) => setTimeout(go, 300)); // while the form still changes, it is not worth the daemon's time
  if (signal.aborted) return;
  try {
    const f = await answer("/v1/frontiers", body, { signal });
    show("frontier-status");
    drawFrontier(f, p);
    redraw = () => { drawBar(p); drawFrontier(f, p); };
  } catch (e) {
    show("frontier");
    show("point");
    told(e, "frontier-status");
  }
}
/** Round numbers of bytes, at most so many and one. */
function ticks(least, most, parts) {
  const rough = (most - least) / parts || 1, unit = 1024 ** Math.floor(Math.log(rough) / Math.log(1024));
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1024].map((m) => m * unit).find((s) => s >= rough);
  const all = [];
  for (let t = Math.ceil(least / step) * step; t <= most * (1 + 1e-9); t += step) all.push(t);
  return all;
}
/** Those of 1, 2, 5, 10, 20, ... up to the most that stand far enough apart on a scale. */
function rootTicks(most, y) {
  const all = [0];
  for (let power = 1; power <= most; power *= 10)
    for (const m of [1, 2, 5]) if (m * power <= most && y(all[all.length - 1]) - y(m * power) >= 22) all.push(m * power);
  return all;
}
function drawFrontier(f, p) {
  const width = room("frontier"), height = Math.min(340, width * 0.75), left = 58, bottom = 42, top = 14, right = 20;
  const named = f.named.filter((n) => n.compute_overhead_pct !== null), all = [...f.points, ...named];
  if (!all.length) return show("frontier-status", "No point: nothing is known of this model's strategies.");
  const now = { peak_bytes: p.peak_bytes, compute_overhead_pct: p.compute_overhead_pct };
  const xs = [...all, now].map((n) => n.peak_bytes), ys = [...all, now].map((n) => n.compute_overhead_pct || 0);
  const x0 = Math.min(...xs) * 0.98, x1 = Math.max(...xs) * 1.02, y1 = Math.max(1, ...ys) * 1.08;
  const x = (n) => left + ((n - x0) / (x1 - x0)) * (width - left - right), y = (n) => height - bottom - Math.sqrt(Math.max(n, 0) / y1) * (height - bottom - top);
  const parts = [];
  for (const t of ticks(x0, x1, width > 600 ? 6 : 3)) parts.push(el("line", { x1: x(t), x2: x(t), y1: top, y2: height - bottom, class: "axis" }), el("text", { x: x(t), y: height - bottom + 16, "text-anchor": "middle" }, bytes(t).replace(/\.0+ /, " ")));
  for (const t of rootTicks(y1, y)) parts.push(el("line", { x1: left, x2: width - right, y1: y(t), y2: y(t), class: "axis" }), el("text", { x: left - 6, y: y(t) + 4, "text-anchor": "end" }, `${t} %`));
  parts.push(el("text", { x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }, "peak memory; upwards: more compute (root scale)"));
  if (p.budget_bytes >= x0 && p.budget_bytes <= x1)
    parts.push(el("line", { x1: x(p.budget_bytes), x2: x(p.budget_bytes), y1: top, y2: height - bottom, class: "budget" }, el("title", {}, `budget ${bytes(p.budget_bytes)}`)));
  if (f.points.length) parts.push(el("path", { class: "curve", d: "M" + f.points.map((n) => `${x(n.peak_bytes).toFixed(1)} ${y(n.compute_overhead_pct).toFixed(1)}`).join("L") }));
  const about = (n) => `${strategyText(n.strategy)}: ${bytes(n.peak_bytes)}, ${percent(n.compute_overhead_pct)} more compute${n.step_seconds ? `, a step of ${seconds(n.step_seconds)}` : ""}${n.knee ? "; past it memory becomes dear" : ""}`;
  const mark = (n, kind, r) => {
    const tell = () => show("point", about(n)), go = () => take(n.strategy);
    return el("circle", { cx: x(n.peak_bytes), cy: y(n.compute_overhead_pct), r, class: kind, tabindex: -1, role: "button", "aria-label": about(n), focus: tell, mouseenter: tell, click: go,
      keydown: (e) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); go(); } } }, el("title", {}, about(n)));
  };
  const marks = [...f.points.map((n) => mark(n, n.knee ? "dot knee" : "dot", n.knee ? 6 : 4)), ...named.map((n) => mark(n, "named", 6))];
  marks[0].setAttribute("tabindex", 0);
  parts.push(marks);
  if (now.compute_overhead_pct !== null) parts.push(el("circle", { cx: x(now.peak_bytes), cy: y(now.compute_overhead_pct), r: 10, class: "now" }, el("title", {}, "this plan")));
  show("frontier", el("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `Frontier of ${f.points.length} plans and ${named.length} named strategies` }, parts.flat()));
  show("point", "Dots: the best plans there are (ringed: the knee). Open circles: named strategies. Green ring: this plan. Choose one to plan it; arrow keys go through them.");
}

// ---- jobs ----

const DEMO = { kind: "attention", mask: "causal", strategy: "checkpointed", compare_with: "standard", witness: true,
  inputs: Object.fromEntries(["q", "k", "v"].map((name, i) => [name, { shape: [1, 8, 256, 64], random: { seed: i + 1 } }])) };

/** The lines of a job's events, as they come, until it has ended. */
async function* events(id) {
  const response = await ask(`/v1/jobs/${id}/events`, null, { headers: { Accept: "application/x-ndjson" } });
  if (!response.ok || response.status === 204) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (text + value).split("\n");
    text = lines.pop();
    for (const line of lines) if (line) yield JSON.parse(line);
  }
}
async function finished(id, tell) {
  try {
    for await (const e of events(id)) tell(e.event === "state" ? e.data.state : `running, ${e.data.done} of ${e.data.total}`);
  } catch (e) {
    if (e instanceof TypeError) tell("the events broke off"); else throw e;
  }
  for (;;) { // where the events are over, it has ended; where they broke off, it is asked again
    const job = await answer(`/v1/jobs/${id}`);
    if (!["queued", "running"].includes(job.state)) return job;
    await new Promise((go) => setTimeout(go, 1000));
  }
}
function proof(job) {
  if (job.state !== "succeeded") return job.problem ? problemBox(job.problem) : el("p", { class: "no" }, el("b", {}, job.state));
  const m = job.result.memory, c = job.result.comparison, same = m.predicted_peak_bytes === m.measured_peak_bytes;
  return [
    el("p", { class: same ? "yes" : "no" }, el("b", {}, `predicted ${exact(m.predicted_peak_bytes)} ${same ? "=" : "is not"} measured ${exact(m.measured_peak_bytes)}`), ` under ${strategyText(DEMO.strategy)}.`),
    el("dl", {}, figure("Same bits as standard", c.identical ? "yes" : "no", "every output and gradient"), figure("Saved", percent(c.memory_saved_pct), "of the peak"),
      figure("Overhead", percent(c.compute_overhead_pct), "FLOPs"), m.scanned_peak_bytes === undefined ? null : figure("Written to", exact(m.scanned_peak_bytes), "of the slab, by its pattern")),
  ];
}
$("demo").addEventListener("click", async () => {
  $("demo").disabled = true;
  try {
    show("demo-answer", "Submitting…");
    const job = await answer("/v1/jobs", DEMO);
    list();
    const done = await finished(job.id, (state) => show("demo-answer", `${job.id.slice(0, 8)}: ${state}`));
    show("demo-answer", proof(done));
    list();
  } catch (e) { told(e, "demo-answer"); } finally { $("demo").disabled = false; }
});

function row(job) {
  const live = ["queued", "running"].includes(job.state), m = job.result?.memory, p = job.progress;
  const cell = (n) => (n === undefined || n === null ? "" : el("span", { title: exact(n) }, exact(n)));
  const stop = () => answer(`/v1/jobs/${job.id}/cancel`, null, { method: "POST" }).then(list, (e) => told(e, "jobs-status"));
  return el("tr", {},
    el("td", {}, el("a", { href: `/v1/jobs/${job.id}` }, el("code", {}, job.id.slice(0, 8)))), el("td", {}, words(job.kind)),
    el("td", { class: `state-${job.state}`, title: job.problem?.detail }, job.state, job.state === "running" && p?.total ? [" ", el("progress", { value: p.done, max: p.total, "aria-label": "progress" })] : null),
    el("td", {}, cell(m?.predicted_peak_bytes ?? job.planned?.peak_bytes)), el("td", {}, cell(m?.measured_peak_bytes)),
    el("td", {}, live ? el("button", { type: "button", click: stop, "aria-label": `Cancel job ${job.id.slice(0, 8)}` }, "Cancel") : null));
}
let timer = 0;
/** The newest jobs; again in a while, sooner where one of them lives. */
async function list() {
  clearTimeout(timer);
  let wait = 10;
  if (!document.hidden) {
    try {
      const { jobs } = await answer("/v1/jobs?page_size=10");
      if (!$("jobs").contains(document.activeElement)) show("jobs", jobs.map(row));
      show("jobs-status", jobs.length ? "" : "No jobs yet.");
      if (jobs.some((j) => ["queued", "running"].includes(j.state))) wait = 1;
    } catch (e) {
      told(e, "jobs-status");
      wait = Math.max(10, e.problem?.retry || 0);
    }
  }
  timer = setTimeout(list, wait * 1000);
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) list(); });

// ---- the beginning ----

/** What exists, asked of the daemon; then the form's first question. */
async function begin() {
  try {
    const [{ models }, { devices }, { strategies }, about] = await Promise.all(["/v1/models", "/v1/devices", "/v1/strategies", "/version"].map((path) => answer(path)));
    $("version").textContent = about.version;
    fields.model.replaceChildren(...models.map((m) => el("option", { value: m.name }, `${m.name} (${count(m.parameters)})`)), el("option", { value: "config" }, "a config.json…"));
    fields.device.replaceChildren(el("option", { value: "" }, "none: bytes alone"), ...devices.map((d) => el("option", { value: d.name }, `${d.name} (${bytes(d.memory_bytes)})`)));
    const offered = strategies.filter((s) => !s.parameters.includes("layers") && !s.parameters.includes("time_limit_seconds"));
    for (const s of offered) parametersOf[s.name] = s.parameters;
    fields.strategy.replaceChildren(...offered.map((s) => el("option", { value: s.name, "data-about": s.description }, s.name)));
    fields.model.value = "gpt2";
    fields.device.value = "l4-24gb";
    fields.strategy.value = "every_layer";
    recall();
    for (const f of [fields.model, fields.device, fields.strategy]) if (f.selectedIndex < 0) f.selectedIndex = 0;
    plan();
  } catch (e) { told(e, "verdict"); }
  list();
}
form.addEventListener("submit", (e) => { e.preventDefault(); plan(); });
form.addEventListener("change", (e) => { if (e.target !== token) plan(); });
$("copy").addEventListener("click", async () => {
  try { await navigator.clipboard.writeText($("curl").textContent); $("copy").textContent = "Copied"; } catch { getSelection().selectAllChildren($("curl")); $("copy").textContent = "Marked: copy it"; }
  setTimeout(() => { $("copy").textContent = "Copy"; }, 2000);
});
begin();
