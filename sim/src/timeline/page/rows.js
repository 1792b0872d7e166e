// Where each lane is: hosts one below the other, each open with all of its lanes, or closed to a line.

const HEIGHT = { scenario: 24, host: 28, task: 24, connection: 20, datagrams: 20 };
const rows = { closed: new Set(), only: null, packed: {}, list: [], of: new Int32Array(lanes.length), height: 0, scroll: 0, view: 100, top: 38 };

/** Hosts on whose lanes something happens; the others are passed over. */
const isUsed = new Set(Array.from(events.lane, (lane) => lanes[lane].host));

/** So much larger lanes are at most, where they are few. */
const LARGER_MAX = [1.45, 2.3];

function layOut() {
  place(1);
  const room = rows.view / rows.height;
  if (room > 1) place(Math.min(room, LARGER_MAX[rows.only === null ? 0 : 1]));
  scrollTo(rows.scroll);
}

/** From the first to the last event of a lane: while there is something on it. */
function extent(lane) {
  const [own, doing] = [eventsOfLane, spansOfLane];
  let [from, to] = [Infinity, -Infinity];
  if (own.start[lane] < own.start[lane + 1]) [from, to] = [own.items[own.start[lane]], own.items[own.start[lane + 1] - 1]];
  if (doing.start[lane] < doing.start[lane + 1]) {
    from = Math.min(from, spans.from[doing.items[doing.start[lane]]]);
    to = Math.max(to, spans.to[doing.items[doing.start[lane + 1] - 1]]);
  }
  return [from, to];
}

/** A task with its sockets, one below the other; or a socket of nobody. */
function blocksOf(host) {
  const blocks = [];
  lanes.forEach((lane, index) => {
    if (lane.host !== host || lane.kind === "host" || lane.kind === "scenario") return;
    const last = blocks[blocks.length - 1];
    const [from, to] = extent(index);
    if (lane.owner !== null && last?.lanes[0] === lane.owner) {
      last.lanes.push(index);
      [last.from, last.to] = [Math.min(last.from, from), Math.max(last.to, to)];
    } else blocks.push({ lanes: [index], from, to });
  });
  return blocks;
}

/** Tasks that were spawned at one place, and are not there at one time, share their rows: of each row, its lanes. */
function packed(host) {
  const open = new Map();
  const sets = [];
  const failing = new Set(stops.flatMap((stop) => stop.lanes));
  for (const block of blocksOf(host)) {
    const { kind, place } = lanes[block.lanes[0]];
    const isAlone = kind !== "task" || rows.only !== null || failing.has(block.lanes[0]);
    const key = isAlone ? block : `${place} ${block.lanes.length}`;
    const set = (open.get(key) ?? []).find((set) => set.to + 1 < block.from);
    if (set) {
      block.lanes.forEach((lane, place) => set.rows[place].push(lane));
      set.to = block.to;
      continue;
    }
    const made = { rows: block.lanes.map((lane) => [lane]), to: block.to };
    sets.push(made);
    open.set(key, [...(open.get(key) ?? []), made]);
  }
  return sets.flatMap((set) => set.rows);
}

function place(factor) {
  rows.list = [];
  let y = 0;
  const add = (all, height, isOwn) => {
    for (const lane of all) rows.of[lane] = rows.list.length;
    rows.list.push({ lane: all[0], lanes: all, y, height, isOwn });
    y += height;
  };
  lanes.forEach((lane, index) => {
    if (lane.kind !== "host" && lane.kind !== "scenario") return;
    // Of a choice of lanes, those, and the hosts that they are on.
    const isLeftOut = rows.only !== null && !rows.only.hosts.has(lane.host);
    const isEmpty = isLeftOut || !isUsed.has(lane.host);
    if (lane.kind === "host" && !isEmpty) y += 5;
    add([index], isEmpty ? 0 : HEIGHT[lane.kind], true);
    const isClosed = rows.only === null && rows.closed.has(lane.host);
    for (const all of rows.packed[lane.host] ??= packed(lane.host)) {
      if (isClosed) for (const inner of all) rows.of[inner] = rows.list.length - 1;
      else add(all, rows.only !== null && !rows.only.lanes.has(all[0]) ? 0 : HEIGHT[lanes[all[0]].kind] * factor, false);
    }
  });
  rows.height = y + 24;
}

/** Shows the lanes of these alone; all again for `null`. */
function showOnly(chosen) {
  rows.only = chosen && { lanes: new Set(chosen), hosts: new Set(chosen.map((lane) => lanes[lane].host)) };
  rows.packed = {};
  layOut();
}

const isShown = (lane) => rowOf(lane).height > 0;

function scrollTo(scroll) {
  rows.scroll = Math.max(0, Math.min(scroll, rows.height - rows.view));
}

const rowOf = (lane) => rows.list[rows.of[lane]];
/** The middle of a lane on the screen. */
const yOf = (lane) => {
  const row = rowOf(lane);
  return rows.top + row.y + row.height / 2 - rows.scroll;
};

function rowAt(y) {
  const at = y - rows.top + rows.scroll;
  return y < rows.top ? undefined : rows.list.find((row) => at >= row.y && at < row.y + row.height);
}

/** What a row is called: by its lane, or by what its lanes have in common. */
function nameOf(row) {
  const { kind, name } = lanes[row.lane];
  const count = row.lanes.length;
  if (count === 1) return name;
  return kind === "task" ? `${count} tasks, ${name.replace(/^task \d+, /, "").replace(/ \(task \d+\)$/, "")}` : `${count} connections`;
}

/** The lanes that are drawn on a row: of a closed host all of its own. */
function lanesOf(row) {
  const { host, kind } = lanes[row.lane];
  if (kind !== "host" || rows.only !== null || !rows.closed.has(host)) return row.lanes;
  const all = [row.lane];
  for (let lane = row.lane + 1; lane < lanes.length && lanes[lane].host === host; lane++) all.push(lane);
  return all;
}

function reveal(lane) {
  const { host, kind } = lanes[lane];
  if (rows.only !== null && !isShown(lane)) showOnly(null);
  if (kind !== "host" && rows.closed.delete(host)) layOut();
  const row = rowOf(lane);
  if (row.y < rows.scroll + 30) scrollTo(row.y - rows.view / 3);
  else if (row.y + row.height > rows.scroll + rows.view - 30) scrollTo(row.y - (rows.view * 2) / 3);
}
