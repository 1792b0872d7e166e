// What the hands do: the pointer, the wheel, keys, search; and how the page begins.

const byId = (id) => document.getElementById(id);
const tip = byId("tip");

/** What is at a point: an event, else a message, else a span. */
function at(x, y) {
  if (x < axis.left) return null;
  const row = rowAt(y);
  if (row) {
    let best = null;
    for (const lane of lanesOf(row)) {
      const { start, items } = eventsOfLane;
      const near = items.subarray(start[lane], start[lane + 1]);
      const place = lowerBound(near, eventAt(placeOfX(x - 6)));
      for (let i = place; i < near.length && i < place + 400; i++) {
        const away = Math.abs(xOf(near[i]) - x);
        if (xOf(near[i]) > x + 6) break;
        const isFirst = best === null || away < best.away || (events.fault[near[i]] && !events.fault[best.event]);
        if (away <= 6 && isFirst) best = { event: near[i], away };
      }
    }
    if (best) return { event: best.event };
  }
  let nearest = null;
  for (const [message, x1, y1, x2, y2] of state.drawn) {
    const length = (x2 - x1) ** 2 + (y2 - y1) ** 2 || 1;
    const share = Math.max(0, Math.min(1, ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / length));
    const away = Math.hypot(x - x1 - share * (x2 - x1), y - y1 - share * (y2 - y1));
    if (away < 5 && (!nearest || away < nearest.away)) nearest = { message, away };
  }
  if (nearest) return { message: nearest.message };
  if (!row || lanes[row.lane].kind !== "task") return null;
  const { start, items } = spansOfLane;
  const place = placeOfX(x);
  for (const lane of row.lanes) {
    for (let i = start[lane]; i < start[lane + 1]; i++) {
      const span = items[i];
      const pad = spans.doing[span] === 0 ? 4 / scale() : 0;
      if (axis.place[spans.from[span]] <= place && place <= axis.place[spans.to[span]] + pad) return spans.doing[span] === 0 ? { event: spans.from[span] } : { span };
    }
  }
  return null;
}

function point(event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

function showTip(what, x, y) {
  if (!what) {
    tip.hidden = true;
    return;
  }
  let [text, more] = ["", ""];
  if (what.event !== undefined) [text, more] = [say(what.event), `${instant(events.at[what.event])} · ${fullName(events.lane[what.event])}`];
  else if (what.message !== undefined) [text, more] = [`${strings[messages.text[what.message]]}: ${fates[messages.fate[what.message]]}`, fullName(messages.from[what.message])];
  else {
    const [from, to] = [spans.from[what.span], spans.to[what.span]];
    const end = to < events.count ? events.at[to] : heading.end;
    [text, more] = [`${doings[spans.doing[what.span]]}, ${duration(end - events.at[from])}`, strings[spans.text[what.span]]];
  }
  tip.replaceChildren(text, ...(more ? [element("small", more)] : []));
  tip.hidden = false;
  const top = canvas.offsetTop;
  const room = byId("stage").clientWidth - tip.offsetWidth - 8;
  tip.style.left = `${Math.max(4, Math.min(x + 14, room))}px`;
  tip.style.top = `${y + top + 16 + tip.offsetHeight > byId("stage").clientHeight ? y + top - tip.offsetHeight - 10 : y + top + 16}px`;
}

let drag = null;
canvas.addEventListener("pointerdown", (event) => {
  const [x, y] = point(event);
  drag = { x, y, moved: 0 };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  const [x, y] = point(event);
  if (!drag) {
    const what = at(x, y);
    canvas.classList.toggle("pointing", what !== null || (x < axis.left && lanes[rowAt(y)?.lane]?.kind === "host"));
    showTip(what, x, y);
    return;
  }
  drag.moved += Math.abs(x - drag.x) + Math.abs(y - drag.y);
  if (drag.moved > 4) {
    canvas.classList.add("dragging");
    tip.hidden = true;
    pan(drag.x - x);
    scrollTo(rows.scroll + drag.y - y);
    redraw();
  }
  [drag.x, drag.y] = [x, y];
});
canvas.addEventListener("pointerup", (event) => {
  const [x, y] = point(event);
  if (drag && drag.moved <= 4) click(x, y);
  drag = null;
  canvas.classList.remove("dragging");
});
canvas.addEventListener("pointercancel", () => { drag = null; });
canvas.addEventListener("pointerleave", () => { tip.hidden = true; });

function click(x, y) {
  const row = rowAt(y);
  if (x < axis.left && row && lanes[row.lane].kind === "host") {
    fold(lanes[row.lane].host);
    return;
  }
  select(at(x, y));
}

function fold(host) {
  if (!rows.closed.delete(host)) rows.closed.add(host);
  layOut();
  sayFold();
  redraw();
}

function sayFold() {
  byId("fold").textContent = rows.closed.size < hosts.length ? "Close all" : "Open all";
}

canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const [x] = point(event);
  const unit = event.deltaMode === 1 ? 16 : 1;
  const [dx, dy] = [event.deltaX * unit, event.deltaY * unit];
  tip.hidden = true;
  if (event.shiftKey || x < axis.left) scrollTo(rows.scroll + (dy || dx));
  else if (Math.abs(dx) > Math.abs(dy)) pan(dx);
  else zoom(Math.exp(Math.max(-1, Math.min(1, dy / 260))), x);
  redraw();
}, { passive: false });

function moveOverview(event) {
  const at = drawOverview.place(event.clientX - overview.getBoundingClientRect().left);
  const half = (axis.to - axis.from) / 2;
  show(at - half, at + half);
  redraw();
}
overview.addEventListener("pointerdown", (event) => {
  overview.setPointerCapture(event.pointerId);
  moveOverview(event);
});
overview.addEventListener("pointermove", (event) => { if (event.buttons) moveOverview(event); });

/** The next event of the same lane, or the one before. */
function neighbour(step) {
  const event = state.selected?.event;
  if (event === undefined) {
    const first = eventAt(axis.from);
    return first >= 0 ? select({ event: first }, true) : undefined;
  }
  const { start, items } = eventsOfLane;
  const lane = events.lane[event];
  const next = lowerBound(items.subarray(start[lane], start[lane + 1]), event) + start[lane] + step;
  if (next >= start[lane] && next < start[lane + 1]) select({ event: items[next] }, true);
}

const KEYS = {
  ArrowLeft: () => pan(-axis.width / 8),
  ArrowRight: () => pan(axis.width / 8),
  ArrowUp: () => scrollTo(rows.scroll - 60),
  ArrowDown: () => scrollTo(rows.scroll + 60),
  PageUp: () => scrollTo(rows.scroll - rows.view * 0.8),
  PageDown: () => scrollTo(rows.scroll + rows.view * 0.8),
  Home: () => pan(-1e12),
  End: () => pan(1e12),
  "+": () => zoom(0.7),
  "=": () => zoom(0.7),
  "-": () => zoom(1 / 0.7),
  0: fit,
  "]": () => neighbour(1),
  "[": () => neighbour(-1),
  c: () => {
    const cause = state.path[1];
    if (cause !== undefined) select({ event: cause }, true);
  },
  t: () => setScale(!axis.byTime),
  f: goToFailure,
  p: togglePath,
  Escape: () => select(null),
};
document.addEventListener("keydown", (event) => {
  const isTyping = event.target === byId("query");
  if (event.key === "/" && !isTyping) {
    event.preventDefault();
    byId("query").focus();
    return;
  }
  if (isTyping && event.key === "Escape") canvas.focus();
  const isButton = event.target.closest?.("button");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || (isButton && event.key.startsWith("Arrow"))) return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
  redraw();
});

/** Looks for a text in what happened, and in the names of lanes; and goes to the first that is in sight or behind. */
function search(query) {
  const text = query.trim().toLowerCase();
  state.hits = [];
  state.hit = NONE;
  if (text) {
    const said = strings.map((string) => string.toLowerCase().includes(text));
    const named = lanes.map((lane, index) => `${fullName(index)} ${lane.place}`.toLowerCase().includes(text));
    for (let event = 0; event < events.count; event++) {
      if (said[events.text[event]] || said[events.kind[event]] || named[events.lane[event]]) state.hits.push(event);
    }
    spans.text.forEach((string, span) => { if (said[string] && string) state.hits.push(spans.from[span]); });
    state.hits = [...new Set(state.hits)].sort((a, b) => a - b);
  }
  tellHits(text);
  redraw();
}

function tellHits(text = byId("query").value) {
  const { hits, hit } = state;
  byId("found").textContent = !text ? "" : !hits.length ? "nothing" : hit === NONE ? `${hits.length} found` : `${hit + 1} of ${hits.length}`;
}

function goToHit(step) {
  const { hits } = state;
  if (!hits.length) return;
  if (state.hit === NONE) {
    const first = lowerBound(hits, eventAt(axis.from));
    state.hit = step > 0 ? first % hits.length : (first - 1 + hits.length) % hits.length;
  } else state.hit = (state.hit + step + hits.length) % hits.length;
  select({ event: hits[state.hit] }, true);
  tellHits();
}

byId("query").addEventListener("input", (event) => search(event.target.value));
byId("query").addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  goToHit(event.shiftKey ? -1 : 1);
});
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  goToHit(1);
});
byId("previous").addEventListener("click", () => goToHit(-1));
byId("in").addEventListener("click", () => { zoom(0.7); redraw(); });
byId("out").addEventListener("click", () => { zoom(1 / 0.7); redraw(); });
byId("fit").addEventListener("click", () => { fit(); redraw(); });
byId("fold").addEventListener("click", () => {
  rows.only = null;
  if (rows.closed.size < hosts.length) hosts.forEach((_, host) => rows.closed.add(host));
  else rows.closed.clear();
  layOut();
  sayFold();
  redraw();
});
byId("order").addEventListener("click", () => setScale(false));
byId("time").addEventListener("click", () => setScale(true));
byId("go").addEventListener("click", () => { goToFailure(); canvas.focus(); });
byId("more").addEventListener("click", () => {
  const isOpen = byId("failure").classList.toggle("open");
  tellHeading.message(isOpen);
  byId("more").setAttribute("aria-expanded", String(isOpen));
  byId("more").textContent = isOpen ? "Less" : "All of it";
  redraw();
});

function setScale(byTime) {
  useScale(byTime);
  byId("time").setAttribute("aria-checked", String(byTime));
  byId("order").setAttribute("aria-checked", String(!byTime));
  redraw();
}

/** The last thing that whoever failed did, or the last of all. */
function failingEvent() {
  const stop = stops[stops.length - 1];
  if (!stop || stop.event === null) return NONE;
  const lane = stop.lanes[0];
  if (lane === undefined) return NONE;
  for (let event = stop.event; event >= 0; event--) {
    // What it closes as it fails tells nothing.
    if ((events.lane[event] === lane || events.task[event] === lane) && !isKind(event, "close", "abort")) return event;
  }
  return stop.event;
}

function goToFailure() {
  const event = failingEvent();
  if (event !== NONE) select({ event }, true);
  else if (stops.length) center(events.count - 1);
  redraw();
}

function tellHeading() {
  byId("name").textContent = heading.name;
  const verdict = byId("verdict");
  verdict.textContent = heading.failure ? "failed" : "held";
  verdict.classList.toggle("failed", Boolean(heading.failure));
  byId("facts").textContent = `seed ${heading.seed} · ${events.count.toLocaleString("en")} events · ${duration(heading.end)} of virtual time`;
  if (!heading.failure) return;
  byId("failure").hidden = false;
  const [headline, ...rest] = heading.failure.split("\n");
  byId("headline").textContent = headline;
  const told = rest.filter((line) => !line.startsWith("at ")).join("\n").trim();
  const choices = heading.choices.map(({ at, words, decisive }, place) => `  ${place + 1}. at ${at / 1e9} s, ${words}${decisive ? "  ◄ decisive" : ""}`);
  const story = choices.length ? ["what has to go wrong for it:", ...choices].join("\n") : "";
  const all = [told, rest.find((line) => line.startsWith("at ")), story, heading.replay && `replay: ${heading.replay}`].filter(Boolean).join("\n");
  const short = all.split("\n").map((line) => line.trim()).filter(Boolean).join(" · ");
  tellHeading.message = (isOpen) => { byId("message").textContent = isOpen ? all : short; };
  tellHeading.message(false);
}

function tellLegend() {
  const legend = byId("legend");
  const used = new Set(spans.doing);
  doings.forEach((doing, place) => {
    if (!used.has(place)) return;
    const stripes = `repeating-linear-gradient(135deg, var(--ready) 0 2.5px, transparent 2.5px 5px)`;
    legend.append(element("span", [element("i", "", { style: `background: ${place === 1 ? stripes : `var(${DOING[place]})`}` }), doing]));
  });
  const shapes = new Set(shapeOfFault.filter((_, fault) => events.fault.includes(fault + 1)));
  if (messages.fate.includes(3)) shapes.add("lost");
  if (messages.fate.includes(1)) shapes.add("late");
  if (messages.fate.includes(4)) shapes.add("reset");
  for (const [shape, words] of SHAPES) {
    if (!shapes.has(shape)) continue;
    const picture = element("canvas", "", { width: 28, height: 28, style: "width: 14px; height: 14px" });
    const context = picture.getContext("2d");
    context.scale(2, 2);
    drawShape(context, shape, 7, 7, 4.2, colours["--fault"], colours["--raised"]);
    legend.append(element("span", [picture, words]));
  }
  legend.append(element("span", "wheel zooms · Shift+wheel scrolls · drag moves · click explains · / searches", { class: "hint" }));
}

/** So many events are shown at first; where there are more, those before the failure. */
const SHOWN_MAX = 260;
/** With more lanes than this, hosts are closed that have nothing to do with the failure. */
const LANES_MAX = 160;

function begin() {
  readColours();
  tellHeading();
  const failing = failingEvent();
  if (lanes.length > LANES_MAX && stops.some((stop) => stop.lanes.length)) {
    const open = new Set(stops.flatMap((stop) => stop.lanes.map((lane) => lanes[lane].host)));
    for (const event of failing === NONE ? [] : chain(failing).slice(0, 40)) open.add(lanes[events.lane[event]].host);
    hosts.forEach((_, host) => { if (!open.has(host)) rows.closed.add(host); });
  }
  layOut();
  setScale(false);
  fit();
  sayFold();
  tellLegend();
  draw();
  if (events.count > SHOWN_MAX) {
    const end = failing !== NONE ? failing : stops.length ? events.count - 1 : SHOWN_MAX - 20;
    show(axis.place[Math.max(0, end - SHOWN_MAX + 20)], axis.place[Math.min(events.count, end + 20)]);
  }
  if (failing !== NONE) select({ event: failing }, true);
  draw();
  timeline.drawnAt = performance.now();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); byId("legend").replaceChildren(); tellLegend(); redraw(); });
new ResizeObserver(redraw).observe(canvas);

// For whoever drives the page by a program.
const timeline = {
  drawnAt: 0,
  get events() { return events.count; },
  get window() { return [axis.from, axis.to]; },
  get selected() { return state.selected; },
  get path() { return state.path; },
  get hits() { return state.hits; },
  get frames() { return state.frames; },
  get shown() { return rows.list.filter((row) => row.height > 0).length; },
  get scroll() { return rows.scroll; },
  positionOf: (event) => {
    const box = canvas.getBoundingClientRect();
    return [box.x + xOf(event), box.y + yOf(events.lane[event])];
  },
  select, show: (from, to) => { show(from, to); redraw(); }, fit: () => { fit(); redraw(); }, center: (event) => { reveal(events.lane[event]); center(event); redraw(); },
  say, chain, togglePath, setScale, search, fold, closeAll: () => byId("fold").click(), draw,
};
window.timeline = timeline;
begin();
