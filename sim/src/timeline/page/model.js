// The data of the page, in columns: one number for each event, span and message, and no object for any of them.

const data = JSON.parse(document.getElementById("data").textContent);
const { strings, lanes, hosts, doings, fates, faults, stops, heading } = data;
const NONE = -1;

/** Numbers that were written as differences. */
function summed(differences, type = Float64Array) {
  const out = new type(differences.length);
  let sum = 0;
  for (let i = 0; i < differences.length; i++) out[i] = sum += differences[i];
  return out;
}

const events = {
  count: data.events.at.length,
  at: summed(data.events.at),
  lane: Int32Array.from(data.events.lane),
  kind: Int32Array.from(data.events.kind),
  text: Int32Array.from(data.events.text),
  task: Int32Array.from(data.events.task),
  cause: Int32Array.from(data.events.cause, (back, event) => (back === 0 ? NONE : event - back)),
  fault: new Uint8Array(data.events.at.length),
};
data.events.faults.forEach(([event, fault]) => (events.fault[event] = fault + 1));

const spans = {
  count: data.spans.lane.length,
  lane: Int32Array.from(data.spans.lane),
  doing: Uint8Array.from(data.spans.doing),
  from: summed(data.spans.from, Int32Array),
  text: Int32Array.from(data.spans.text),
};
// Where one has no end, it goes on behind the last event.
spans.to = Int32Array.from(data.spans.length, (length, span) => (length === NONE ? events.count : spans.from[span] + length));

const messages = {
  count: data.messages.from.length,
  from: Int32Array.from(data.messages.from),
  to: Int32Array.from(data.messages.to),
  sent: summed(data.messages.sent, Int32Array),
  due: data.messages.due,
  fate: Uint8Array.from(data.messages.fate),
  text: Int32Array.from(data.messages.text),
  control: Uint8Array.from(data.messages.control),
};
messages.arrived = Int32Array.from(data.messages.length, (length, it) => (length === NONE ? NONE : messages.sent[it] + length));

/** The places of a column's values, grouped by value: `start[v]..start[v + 1]` of `items`. */
function grouped(values, groups) {
  const start = new Int32Array(groups + 1);
  for (const value of values) if (value >= 0) start[value + 1]++;
  for (let group = 0; group < groups; group++) start[group + 1] += start[group];
  const next = start.slice();
  const items = new Int32Array(start[groups]);
  values.forEach((value, place) => { if (value >= 0) items[next[value]++] = place; });
  return { start, items };
}

const eventsOfLane = grouped(events.lane, lanes.length);
const spansOfLane = grouped(spans.lane, lanes.length);
const effects = grouped(events.cause, events.count);

// Of so many messages together, the last event at which one of them is still under way: to pass over those that are not in sight.
const BLOCK = 256;
const blockEnds = new Int32Array(Math.ceil(messages.count / BLOCK));
for (let it = 0; it < messages.count; it++) {
  const end = messages.arrived[it] === NONE ? messages.sent[it] : messages.arrived[it];
  const block = (it / BLOCK) | 0;
  if (end > blockEnds[block]) blockEnds[block] = end;
}

// What fails after the run, as a look at its outcome, is marked at its end.
if (heading.failure && !stops.length) stops.push({ event: events.count ? events.count - 1 : null, text: heading.failure, lanes: [] });

const KIND = Object.fromEntries(strings.map((text, place) => [text, place]));
const isKind = (event, ...names) => names.some((name) => events.kind[event] === KIND[name]);
const say = (event) => strings[events.text[event]];
const hostOf = (lane) => (lanes[lane].host === null ? "" : hosts[lanes[lane].host]);
const fullName = (lane) => {
  const { kind, name } = lanes[lane];
  return kind === "scenario" || kind === "host" ? name : `${hostOf(lane)} · ${name}`;
};

/** The first place of a sorted column whose value is not below `value`. */
function lowerBound(column, value, from = 0, to = column.length) {
  while (from < to) {
    const middle = (from + to) >> 1;
    if (column[middle] < value) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** Nanoseconds, for the eye. */
function duration(ns) {
  const [unit, name] = ns < 1e3 ? [1, "ns"] : ns < 1e6 ? [1e3, "µs"] : ns < 1e9 ? [1e6, "ms"] : [1e9, "s"];
  const value = ns / unit;
  return `${value >= 100 ? value.toFixed(0) : value >= 10 ? +value.toFixed(1) : +value.toFixed(2)} ${name}`;
}

const instant = (ns) => `${(ns / 1e9).toFixed(9)} s`;

/** How an event came from its cause: which of the kinds of time that a request takes it is. */
function leg(event) {
  const cause = events.cause[event];
  if (cause === NONE) return undefined;
  if (isKind(event, "poll")) {
    if (events.lane[cause] === events.lane[event]) return "timer";
    return "turn";
  }
  if (events.task[event] !== NONE) return "run";
  if (isKind(event, "edge")) return "turn";
  if (lanes[events.lane[event]].host !== lanes[events.lane[cause]].host || events.lane[event] !== events.lane[cause]) return "wire";
  return "kernel";
}
const LEGS = {
  wire: ["on the way", "--wire"],
  timer: ["waiting for a timer", "--timer"],
  kernel: ["until it is sent again", "--fault"],
  turn: ["until its turn", "--ready"],
  run: ["running", "--run"],
};

/**
 * What made it happen, the event itself first: back to where a task began it by itself, for a time had come; a request, as a rule.
 * `limit` goes further back.
 */
function chain(event, limit = 0) {
  const list = [];
  for (let at = event; at !== NONE; at = events.cause[at]) {
    list.push(at);
    if (list.length >= Math.max(limit, STEPS_MIN) && leg(at) === "timer") break;
    if (list.length >= Math.max(limit, STEPS_MAX)) break;
  }
  return list;
}
const STEPS_MIN = 6;
const STEPS_MAX = 60;
