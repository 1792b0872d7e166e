// What is said of what was clicked: what it is, why it happened, and what came of it.

const details = document.getElementById("details");
const EFFECTS_MAX = 12;

/** An element with a text or with children. */
function element(name, content = "", attributes = {}) {
  const made = document.createElement(name);
  made.append(...(Array.isArray(content) ? content : [content]));
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  return made;
}

function facts(pairs) {
  return element("dl", pairs.filter(([, value]) => value).flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
}

function eventButton(event, isHere = false) {
  const button = element("button", element("span", [say(event), element("small", `${instant(events.at[event])} · ${fullName(events.lane[event])}`)]), { type: "button" });
  if (isHere) button.className = "here";
  button.addEventListener("click", () => select({ event }, true));
  const item = element("li", button);
  if (events.fault[event]) item.className = "fault";
  return item;
}

/** What the way to an event took, by kind. */
function sums(path) {
  const sum = {};
  for (const event of path.slice(0, -1)) {
    const kind = leg(event);
    sum[kind] = (sum[kind] ?? 0) + events.at[event] - events.at[events.cause[event]];
  }
  return Object.entries(sum).filter(([, ns]) => ns > 0).sort((a, b) => b[1] - a[1]);
}

function why(path) {
  if (path.length < 2) return [];
  const parts = sums(path);
  const whole = parts.reduce((sum, [, ns]) => sum + ns, 0);
  const list = [];
  path.forEach((event, step) => {
    list.push(eventButton(event, step === 0));
    const took = step === path.length - 1 ? 0 : events.at[event] - events.at[events.cause[event]];
    if (took > 0) list.push(element("li", [element("b", duration(took)), ` ${LEGS[leg(event)][0]}`], { class: "leg" }));
  });
  // The time of the last is that before what is shown.
  if (events.cause[path[path.length - 1]] !== NONE) {
    const button = element("button", "Further back", { type: "button", id: "back" });
    button.addEventListener("click", () => {
      state.reach = path.length * 2;
      select(state.selected);
    });
    list.push(element("li", button, { class: "back" }));
  }
  const bars = parts.map(([kind, ns]) => element("span", "", { style: `flex: ${ns / whole}; background: var(${LEGS[kind][1]})` }));
  const words = parts.map(([kind, ns]) => element("span", [element("i", "", { style: `background: var(${LEGS[kind][1]})` }), `${LEGS[kind][0]} ${duration(ns)}`]));
  return [
    element("h3", whole ? `Why it happened: ${path.length} steps, ${duration(whole)}` : `Why it happened: ${path.length} steps`),
    element("div", bars, { class: "bar", role: "presentation" }),
    element("div", words, { class: "parts" }),
    onlyButton(path),
    element("ol", list, { id: "why" }),
  ];
}

/** The lanes of a path: where it goes through, and the tasks that used them. */
function lanesOfPath(path) {
  const all = new Set();
  for (const event of path) {
    all.add(events.lane[event]);
    if (events.task[event] !== NONE) all.add(events.task[event]);
  }
  return [...all];
}

function onlyButton(path) {
  const isOnly = rows.only !== null;
  const button = element("button", isOnly ? "Show all lanes" : "Show only these lanes", { type: "button", id: "only", title: "P", "aria-pressed": String(isOnly) });
  button.addEventListener("click", togglePath);
  return button;
}

/** Leaves out all lanes that the path does not go through, and shows the path whole; or brings them back. */
function togglePath() {
  if (rows.only !== null) {
    showOnly(null);
    reveal(laneOfSelected());
  } else if (state.path.length > 1) {
    showOnly(lanesOfPath(state.path));
    rows.scroll = 0;
    const [from, to] = [axis.place[state.path[state.path.length - 1]], axis.place[state.path[0]]];
    const around = Math.max((to - from) * 0.06, axis.byTime ? 1e3 : 3);
    show(from - around, to + around);
  }
  select(state.selected);
}

function after(event) {
  const from = effects.start[event];
  const to = effects.start[event + 1];
  if (from === to) return [];
  const list = [];
  for (let at = from; at < Math.min(to, from + EFFECTS_MAX); at++) list.push(eventButton(effects.items[at]));
  if (to - from > EFFECTS_MAX) list.push(element("li", `and ${to - from - EFFECTS_MAX} more`, { class: "leg" }));
  return [element("h3", "What came of it"), element("ol", list, { id: "after" })];
}

/** Of a poll, with what was done in it. */
function title(event) {
  if (!isKind(event, "poll")) return say(event);
  const done = [];
  for (let at = effects.start[event]; at < effects.start[event + 1]; at++) {
    const it = effects.items[at];
    if (events.task[it] === events.lane[event]) done.push(say(it));
  }
  return done.length ? `runs: ${done.slice(0, 3).join(", ")}${done.length > 3 ? ", …" : ""}` : "runs";
}

function ofEvent(event) {
  const lane = events.lane[event];
  const fault = events.fault[event];
  const task = events.task[event];
  return [
    element("div", fullName(lane), { class: "kicker" }),
    element("h2", title(event), fault ? { class: "fault" } : {}),
    facts([["at", instant(events.at[event])], ["by", task === NONE ? "" : fullName(task)], ["lane", lanes[lane].place], ["goes wrong", fault ? faults[fault - 1] : ""]]),
    ...why(state.path),
    ...after(event),
  ];
}

function ofSpan(span) {
  const [from, to] = [spans.from[span], spans.to[span]];
  const isOpen = to >= events.count;
  const end = isOpen ? heading.end : events.at[to];
  return [
    element("div", fullName(spans.lane[span]), { class: "kicker" }),
    element("h2", doings[spans.doing[span]]),
    facts([
      ["for", strings[spans.text[span]]],
      ["from", instant(events.at[from])],
      ["to", isOpen ? "the end of the run: it never came" : instant(end)],
      ["that is", duration(end - events.at[from])],
      ["task", lanes[spans.lane[span]].place],
    ]),
    ...(isOpen ? [] : [element("h3", "What ended it"), element("ol", [eventButton(to)])]),
    ...(state.path.length > 1 ? why(state.path) : []),
  ];
}

function ofMessage(it) {
  const [sent, arrived] = [messages.sent[it], messages.arrived[it]];
  const target = messages.to[it];
  const ends = [element("h3", "From and to"), element("ol", arrived === NONE ? [eventButton(sent)] : [eventButton(sent), eventButton(arrived)])];
  return [
    element("div", `${hostOf(messages.from[it])} → ${target === NONE ? "nobody" : hostOf(target)}`, { class: "kicker" }),
    element("h2", `${strings[messages.text[it]]}: ${fates[messages.fate[it]]}`, [1, 3, 4].includes(messages.fate[it]) ? { class: "fault" } : {}),
    facts([
      ["sent", instant(events.at[sent])],
      ["arrives", arrived === NONE ? "" : instant(events.at[arrived])],
      ["under way", arrived === NONE ? "" : duration(events.at[arrived] - events.at[sent])],
      ["connection", lanes[messages.from[it]].place],
    ]),
    ...ends,
    ...why(state.path),
  ];
}

/** Chooses an event, a span or a message; `null` for nothing. What led there is drawn and told. */
function select(what, comesIntoSight = false) {
  if (what !== state.selected) state.reach = 0;
  state.selected = what;
  let end = NONE;
  if (what?.event !== undefined) end = what.event;
  else if (what?.span !== undefined) end = spans.to[what.span] < events.count ? spans.to[what.span] : spans.from[what.span];
  else if (what?.message !== undefined) end = messages.arrived[what.message] === NONE ? messages.sent[what.message] : messages.arrived[what.message];
  state.path = end === NONE ? [] : chain(end, state.reach);
  state.onPath = new Set(state.path);
  if (comesIntoSight && end !== NONE) {
    reveal(laneOfSelected());
    center(end);
  }
  if (what === null) details.replaceChildren();
  else {
    const close = element("button", "×", { type: "button", class: "close", "aria-label": "Close", title: "Close (Esc)" });
    close.addEventListener("click", () => select(null));
    const body = what.event !== undefined ? ofEvent(what.event) : what.span !== undefined ? ofSpan(what.span) : ofMessage(what.message);
    details.replaceChildren(close, ...body);
    details.scrollTop = 0;
  }
  redraw();
}
