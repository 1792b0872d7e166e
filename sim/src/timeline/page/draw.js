// The picture. Only what is in sight is drawn, and of what would fall on one pixel the first.

const canvas = document.getElementById("lanes");
const pen = canvas.getContext("2d");
const FONT = getComputedStyle(document.body).fontFamily;
const ARROWS_MAX = 4000;
let colours = {};
const state = { selected: null, path: [], reach: 0, onPath: new Set(), hits: [], hitSet: new Set(), hit: NONE, hover: null, drawn: [], frames: 0 };

const DOING = ["--run", "--ready", "--bytes", "--room", "--connection", "--timer", "--sync", "--tasks", "--job", "--unknown"];

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["paper", "raised", "sunken", "line", "faint", "ink", "soft", "dim", "accent", "accent-soft", "fault", "fault-soft", "wire", "control"];
  colours = Object.fromEntries([...names.map((name) => `--${name}`), ...DOING].map((name) => [name, style.getPropertyValue(name).trim()]));
  colours.hatch = {};
}

/** Sharp on any screen. */
function sized(element) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth, clientHeight } = element;
  if (element.width !== Math.round(clientWidth * ratio) || element.height !== Math.round(clientHeight * ratio)) {
    element.width = Math.round(clientWidth * ratio);
    element.height = Math.round(clientHeight * ratio);
  }
  const context = element.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, clientWidth, clientHeight);
  return [context, clientWidth, clientHeight];
}

/** Stripes, for what is told by more than its colour. */
function hatched(name) {
  return (colours.hatch[name] ??= (() => {
    const tile = new OffscreenCanvas(8, 8);
    const context = tile.getContext("2d");
    context.strokeStyle = colours[name];
    context.lineWidth = 2.4;
    context.beginPath();
    for (const offset of [-8, 0, 8]) {
      context.moveTo(offset - 1, 9);
      context.lineTo(offset + 9, -1);
    }
    context.stroke();
    return pen.createPattern(tile, "repeat");
  })());
}

function label(text, x, y, width, colour, font = `12px ${FONT}`) {
  pen.font = font;
  pen.fillStyle = colour;
  let shown = text;
  if (pen.measureText(text).width > width) {
    let low = 0;
    let high = text.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (pen.measureText(`${text.slice(0, middle)}…`).width <= width) low = middle;
      else high = middle - 1;
    }
    shown = `${text.slice(0, low)}…`;
  }
  pen.fillText(shown, x, y);
}

// What went wrong has a shape as well as a colour.
const SHAPES = [
  ["lost", "gets lost", (fault) => /lost|dropped|dead machines|SYN timers|overflows/.test(fault)],
  ["late", "late", (fault) => /late/.test(fault)],
  ["reset", "reset or refused", (fault) => /resets|refused/.test(fault)],
  ["crash", "crash, restart, death", (fault) => /crash|restart|deaths/.test(fault)],
  ["cut", "cut off", (fault) => /cut/.test(fault)],
  ["pause", "stands still", (fault) => /pauses|stalls/.test(fault)],
  ["odd", "another fault", () => true],
];
const shapeOfFault = faults.map((fault) => SHAPES.find(([, , is]) => is(fault))[0]);

function drawShape(context, shape, x, y, r, colour, ground) {
  context.strokeStyle = colour;
  context.fillStyle = colour;
  context.lineWidth = 2;
  context.beginPath();
  if (shape === "lost") {
    context.moveTo(x - r, y - r); context.lineTo(x + r, y + r);
    context.moveTo(x + r, y - r); context.lineTo(x - r, y + r);
    context.stroke();
  } else if (shape === "late") {
    context.moveTo(x - r, y - r); context.lineTo(x + r, y - r); context.lineTo(x - r, y + r); context.lineTo(x + r, y + r); context.closePath();
    context.fill();
  } else if (shape === "reset") {
    context.moveTo(x + r * 0.5, y - r * 1.25); context.lineTo(x - r * 0.8, y + r * 0.25); context.lineTo(x, y + r * 0.2);
    context.lineTo(x - r * 0.5, y + r * 1.25); context.lineTo(x + r * 0.8, y - r * 0.25); context.lineTo(x, y - r * 0.2); context.closePath();
    context.fill();
  } else if (shape === "crash") {
    for (let i = 0; i < 16; i++) {
      const radius = i % 2 ? r * 0.62 : r * 1.3;
      context.lineTo(x + radius * Math.sin((i * Math.PI) / 8), y - radius * Math.cos((i * Math.PI) / 8));
    }
    context.closePath();
    context.fill();
  } else if (shape === "cut") {
    context.moveTo(x - r * 1.1, y); context.lineTo(x - r * 0.5, y); context.moveTo(x + r * 0.5, y); context.lineTo(x + r * 1.1, y);
    context.moveTo(x - r * 0.1, y - r); context.lineTo(x - r * 0.6, y + r); context.moveTo(x + r * 0.6, y - r); context.lineTo(x + r * 0.1, y + r);
    context.stroke();
  } else if (shape === "pause") {
    context.fillRect(x - r * 0.9, y - r, r * 0.65, 2 * r);
    context.fillRect(x + r * 0.25, y - r, r * 0.65, 2 * r);
  } else {
    context.moveTo(x, y - r * 1.2); context.lineTo(x + r * 1.15, y + r * 0.9); context.lineTo(x - r * 1.15, y + r * 0.9); context.closePath();
    context.fill();
    context.fillStyle = ground;
    context.fillRect(x - 0.7, y - r * 0.4, 1.4, r * 0.65);
    context.fillRect(x - 0.7, y + r * 0.42, 1.4, 1.3);
  }
}

const isFaded = (event) => state.path.length > 1 && !state.onPath.has(event);

/** A stretch of a lane, from one event to another. */
function bar(from, to, y, height, style, least = 1) {
  const x = Math.max(from, axis.left - 4);
  const width = Math.max(Math.min(to, axis.left + axis.width + 4) - x, least);
  pen.fillStyle = style;
  if (width > 5) {
    pen.beginPath();
    pen.roundRect(x, y - height / 2, width, height, 2.5);
    pen.fill();
  } else pen.fillRect(x, y - height / 2, width, height);
}

function drawLane(lane, row, y, isClosed) {
  const { start, items } = spansOfLane;
  const [first, last] = [start[lane], start[lane + 1]];
  const right = axis.left + axis.width;
  // The last of them begins before what is in sight, and may reach into it.
  let low = first;
  let high = last;
  const begin = eventAt(axis.from);
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spans.from[items[middle]] < begin) low = middle + 1;
    else high = middle;
  }
  const ran = [];
  let drawnTo = -1e9;
  let ranTo = -1e9;
  for (let at = Math.max(first, low - 3); at < last; at++) {
    const span = items[at];
    const x1 = xOf(spans.from[span]);
    if (x1 > right) break;
    const doing = spans.doing[span];
    const runs = doing === 0;
    const x2 = xOf(spans.to[span]) + (runs ? Math.min(scale() * 0.7, 40) * (axis.byTime ? 0 : 1) : 0);
    if (x2 < axis.left || (isClosed && !runs) || (runs ? x1 < ranTo + 0.5 : x2 < drawnTo + 0.6)) continue;
    const colour = colours[DOING[doing]];
    pen.globalAlpha = state.path.length > 1 && !(state.onPath.has(spans.from[span]) || state.onPath.has(spans.to[span])) ? 0.6 : 1;
    // Above the waits that begin with its end.
    if (runs) ran.push([x1, x2, pen.globalAlpha]);
    else if (doing === 1) bar(x1, x2, y, 9, hatched("--ready"));
    else bar(x1, x2, y, 9, colour);
    drawnTo = Math.max(drawnTo, x2);
    if (runs) ranTo = Math.max(x2, x1 + 2);
    const isSelected = state.selected?.span === span;
    if (isSelected) {
      pen.strokeStyle = colours["--accent"];
      pen.lineWidth = 2;
      pen.strokeRect(Math.max(x1, axis.left - 4), y - 9, Math.min(x2, right + 4) - Math.max(x1, axis.left - 4), 18);
    }
    const text = strings[spans.text[span]];
    const room = Math.min(x2, right) - Math.max(x1, axis.left) - 12;
    if (!runs && doing > 1 && room > 60 && text) {
      label(text.split(":")[0].split(", asked")[0].split(", made")[0], Math.max(x1, axis.left) + 6, y - 7, room, colours["--soft"], `10px ${FONT}`);
    }
  }
  for (const [x1, x2, alpha] of ran) {
    pen.globalAlpha = alpha;
    bar(x1, x2, y, isClosed ? 12 : 14, colours["--run"], 2);
  }
  pen.globalAlpha = 1;
}

// How an event is marked on its lane: by its kind.
const MARKS = {
  dot: ["bytes arrive", "FIN arrives", "datagram arrives", "SYN arrives", "SYN-ACK arrives", "job done"],
  box: ["write", "send to", "connect", "submit", "shutdown write"],
  ring: ["read", "receive from", "accept", "collect"],
  end: ["close", "abort"],
};
const markOfKind = strings.map((kind) => Object.keys(MARKS).find((mark) => MARKS[mark].includes(kind)) ?? "tick");
const isQuiet = strings.map((kind) => ["edge", "ACK arrives"].includes(kind));

function drawMarks(lane, row, y, isClosed) {
  const { start, items } = eventsOfLane;
  const last = start[lane + 1];
  const right = axis.left + axis.width;
  let low = start[lane];
  let high = last;
  const begin = lowerBound(axis.place, axis.from - (axis.to - axis.from) * 0.01);
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items[middle] < begin) low = middle + 1;
    else high = middle;
  }
  let drawnTo = -1e9;
  const shapes = [];
  for (let at = low; at < last; at++) {
    const event = items[at];
    const x = xOf(event);
    if (x > right + 4) break;
    if (events.fault[event]) {
      if (!shapes.length || x - shapes[shapes.length - 1][1] > 3) shapes.push([event, x]);
      continue;
    }
    if (isClosed || x - drawnTo < 2.2 || events.kind[event] === KIND.poll) continue;
    drawnTo = x;
    pen.globalAlpha = isFaded(event) ? 0.4 : 1;
    const mark = markOfKind[events.kind[event]];
    const colour = isQuiet[events.kind[event]] ? colours["--control"] : colours["--wire"];
    pen.fillStyle = pen.strokeStyle = lanes[lane].kind === "task" ? colours["--paper"] : colour;
    pen.lineWidth = 1.4;
    pen.beginPath();
    if (mark === "dot") { pen.arc(x, y, 3.1, 0, 7); pen.fill(); }
    else if (mark === "ring") { pen.arc(x, y, 2.7, 0, 7); pen.fillStyle = colours["--paper"]; pen.fill(); pen.stroke(); }
    else if (mark === "box") pen.fillRect(x - 2.8, y - 2.8, 5.6, 5.6);
    else if (mark === "end") pen.fillRect(x - 1, y - 7, 2, 14);
    else pen.fillRect(x - 0.7, y - 4, 1.4, 8);
  }
  for (const [event, x] of shapes) {
    pen.globalAlpha = isFaded(event) ? 0.55 : 1;
    drawShape(pen, shapeOfFault[events.fault[event] - 1], x, y, 4.3, colours["--fault"], colours["--paper"]);
  }
  pen.globalAlpha = 1;
}

/** Where a machine is off, stands still or is cut off. */
function drawBands(lane, row, y) {
  const { start, items } = eventsOfLane;
  let open = null;
  const right = axis.left + axis.width;
  const end = xOf(events.count);
  const band = (kind, from, to) => {
    if (to < axis.left || from > right) return;
    pen.globalAlpha = kind === "pauses" ? 0.5 : 0.75;
    bar(from, to, y, 16, kind === "is cut off from host" ? hatched("--control") : hatched("--fault"));
    pen.globalAlpha = 1;
  };
  for (let at = start[lane]; at < start[lane + 1]; at++) {
    const event = items[at];
    const kind = strings[events.kind[event]];
    const begins = /^crashes|^pauses|^is cut off|^killed by/.test(kind);
    const ends = /^restarts|^resumes|^is no longer cut/.test(kind);
    if (!begins && !ends) continue;
    if (open) band(open[0], open[1], xOf(event));
    open = begins ? [kind, xOf(event)] : null;
  }
  if (open) band(open[0], open[1], end);
}

function drawMessages() {
  const { width, left } = axis;
  const right = left + width;
  const [begin, end] = [eventAt(axis.from), eventAt(axis.to)];
  const bottom = rows.top + rows.view;
  const taken = new Set();
  state.drawn = [];
  // Where there are many they are drawn fainter, and beyond that only what goes wrong and what is chosen.
  const [first, last] = [lowerBound(messages.sent, begin), lowerBound(messages.sent, end)];
  const crowd = (last - first) / axis.width;
  const strength = Math.min(1, 0.35 / Math.max(crowd, 1e-9));
  let count = 0;
  for (let it = 0; it < messages.count; it++) {
    if (it % BLOCK === 0 && blockEnds[it / BLOCK] < begin) { it += BLOCK - 1; continue; }
    if (messages.sent[it] > end) break;
    const fate = messages.fate[it];
    const isBad = fate === 3 || fate === 4 || fate === 1;
    const arrived = messages.arrived[it];
    if (arrived !== NONE && arrived < begin) continue;
    const target = messages.to[it];
    if (rows.only !== null && !(isShown(messages.from[it]) && (target === NONE || isShown(target)))) continue;
    const y1 = yOf(messages.from[it]);
    const y2 = target === NONE ? y1 + 26 : yOf(target);
    if ((y1 < rows.top && y2 < rows.top) || (y1 > bottom && y2 > bottom) || (y1 === y2 && fate !== 3)) continue;
    const isOn = isOnPath(it) || state.selected?.message === it;
    if (!isBad && !isOn && (strength < 0.12 || (messages.control[it] && strength < 0.5))) continue;
    const x1 = xOf(messages.sent[it]);
    const x2 = arrived !== NONE ? xOf(arrived) : fate === 3 ? x1 : Math.max(x1, xOfPlace(placeOfTime(messages.due[it])));
    if (x2 < left || x1 > right) continue;
    const key = `${x1 | 0},${x2 | 0},${y1 | 0},${y2 | 0}`;
    if (taken.has(key) && !isOn) continue;
    taken.add(key);
    if (++count > ARROWS_MAX && !isOn) continue;
    drawMessage(it, fate, x1, y1, x2, y2, arrived, isBad ? Math.max(strength, 0.45) : strength);
  }
  pen.globalAlpha = 1;
  pen.setLineDash([]);
}

function isOnPath(it) {
  const arrived = messages.arrived[it];
  return state.path.length > 1 && arrived !== NONE && state.onPath.has(arrived) && events.cause[arrived] === messages.sent[it];
}

function drawMessage(it, fate, x1, y1, x2, y2, arrived, strength) {
  const isFault = fate === 3 || fate === 4;
  let [tx, ty] = [x2, y2];
  if (fate === 3 && arrived === NONE) {
    // It ends half way, to nobody.
    tx = x1 + 26;
    ty = y1 + Math.sign(y2 - y1 || 1) * Math.min(Math.abs(y2 - y1) * 0.5, 30);
  }
  const isOn = isOnPath(it);
  const isChosen = state.selected?.message === it;
  pen.globalAlpha = isOn || isChosen ? 1 : strength * (state.path.length > 1 ? 0.5 : messages.control[it] ? 0.65 : 0.9);
  const colour = isChosen ? colours["--accent"] : isFault || fate === 1 ? colours["--fault"] : messages.control[it] ? colours["--control"] : colours["--wire"];
  pen.strokeStyle = pen.fillStyle = colour;
  pen.lineWidth = isChosen ? 2.4 : isFault ? 1.6 : messages.control[it] ? 1 : 1.4;
  pen.setLineDash(fate === 3 ? [5, 3] : fate === 2 ? [2, 3] : fate === 5 ? [7, 4] : []);
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.lineTo(tx, ty);
  pen.stroke();
  pen.setLineDash([]);
  const length = Math.hypot(tx - x1, ty - y1) || 1;
  const [ux, uy] = [(tx - x1) / length, (ty - y1) / length];
  if (fate === 3) drawShape(pen, "lost", tx, ty, 4, colour, colours["--paper"]);
  else if (fate === 5) { pen.beginPath(); pen.arc(tx, ty, 3, 0, 7); pen.stroke(); }
  else if (length > 9) {
    const [hx, hy] = [tx - ux * 3, ty - uy * 3];
    pen.beginPath();
    pen.moveTo(hx, hy);
    pen.lineTo(hx - ux * 6.5 - uy * 2.8, hy - uy * 6.5 + ux * 2.8);
    pen.lineTo(hx - ux * 6.5 + uy * 2.8, hy - uy * 6.5 - ux * 2.8);
    pen.closePath();
    pen.fill();
  }
  if (fate === 1) drawShape(pen, "late", (x1 + tx) / 2, (y1 + ty) / 2, 3.4, colour, colours["--paper"]);
  if (fate === 4) drawShape(pen, "reset", (x1 + tx) / 2, (y1 + ty) / 2, 4, colour, colours["--paper"]);
  state.drawn.push([it, x1, y1, tx, ty]);
  // Named where there is room between the lanes, along the line.
  if (length > 74 && !messages.control[it] && Math.abs(tx - x1) > Math.max(50, Math.abs(ty - y1) * 0.6) && state.drawn.length < 400) {
    const text = strings[messages.text[it]];
    pen.save();
    pen.translate((x1 + tx) / 2, (y1 + ty) / 2);
    pen.rotate(Math.atan2(ty - y1, tx - x1));
    pen.textAlign = "center";
    label(text, 0, -4, length - 20, colour, `10px ${FONT}`);
    pen.restore();
  }
}

/** What led to what is chosen. */
function drawPath() {
  if (state.path.length < 2) return;
  pen.strokeStyle = colours["--accent"];
  pen.lineWidth = 2.4;
  pen.lineJoin = "round";
  pen.beginPath();
  state.path.forEach((event, step) => {
    const [x, y] = [xOf(event), yOf(events.lane[event])];
    if (step === 0) pen.moveTo(x, y);
    else pen.lineTo(x, y);
  });
  pen.stroke();
  for (const event of state.path) {
    const [x, y] = [xOf(event), yOf(events.lane[event])];
    if (x < axis.left - 6 || x > axis.left + axis.width + 6) continue;
    pen.beginPath();
    pen.arc(x, y, events.fault[event] ? 7 : 3.4, 0, 7);
    pen.fillStyle = colours["--paper"];
    pen.fill();
    pen.strokeStyle = colours["--accent"];
    pen.lineWidth = 2;
    pen.stroke();
    if (events.fault[event]) drawShape(pen, shapeOfFault[events.fault[event] - 1], x, y, 3.6, colours["--fault"], colours["--paper"]);
  }
}

function drawSelected() {
  const event = state.selected?.event;
  if (event === undefined) return;
  const [x, y] = [xOf(event), yOf(events.lane[event])];
  pen.strokeStyle = colours["--accent"];
  pen.lineWidth = 2.5;
  pen.beginPath();
  pen.arc(x, y, 9, 0, 7);
  pen.stroke();
}

function drawHits() {
  const bottom = rows.top + rows.view;
  pen.fillStyle = colours["--accent"];
  const right = axis.left + axis.width;
  let drawn = -1e9;
  for (let at = lowerBound(state.hits, eventAt(axis.from)); at < state.hits.length; at++) {
    const x = xOf(state.hits[at]);
    if (x > right) break;
    const y = yOf(events.lane[state.hits[at]]);
    if (y < rows.top || y > bottom || (x - drawn < 1 && state.hits.length > 2000)) continue;
    drawn = x;
    pen.globalAlpha = 0.28;
    pen.beginPath();
    pen.arc(x, y, 7, 0, 7);
    pen.fill();
  }
  pen.globalAlpha = 1;
}

/** A flag at the top of the lanes. */
function drawFlag(text, x, colour) {
  pen.fillStyle = colour;
  pen.font = `600 11px ${FONT}`;
  const width = pen.measureText(text).width + 14;
  const isLeft = x + width > axis.left + axis.width;
  const from = isLeft ? x - width + 1 : x - 1;
  pen.beginPath();
  pen.roundRect(from, rows.top - 16, width, 17, 3);
  pen.fill();
  pen.fillStyle = colours["--paper"];
  pen.fillText(text, from + 7, rows.top - 4);
}

/** Where the run failed, and the choices that matter. */
function drawStops() {
  const bottom = rows.top + rows.view;
  for (const { event } of stops) {
    const x = event === null ? axis.left : xOf(event) + Math.min(scale(), 14);
    if (x < axis.left - 2 || x > axis.left + axis.width + 2) continue;
    pen.strokeStyle = pen.fillStyle = colours["--fault"];
    pen.lineWidth = 2;
    pen.beginPath();
    pen.moveTo(x, rows.top - 12);
    pen.lineTo(x, bottom);
    pen.stroke();
    drawFlag("fails here", x, colours["--fault"]);
  }
  for (const { at, decisive } of heading.choices) {
    const x = xOfPlace(placeOfTime(at));
    if (x < axis.left || x > axis.left + axis.width) continue;
    pen.strokeStyle = pen.fillStyle = colours["--accent"];
    pen.lineWidth = decisive ? 2 : 1;
    pen.setLineDash([4, 4]);
    pen.beginPath();
    pen.moveTo(x, rows.top - 6);
    pen.lineTo(x, bottom);
    pen.stroke();
    pen.setLineDash([]);
    if (decisive) {
      drawFlag("decided here", x, colours["--accent"]);
      continue;
    }
    pen.beginPath();
    pen.moveTo(x, rows.top - 13);
    pen.lineTo(x + 5, rows.top - 7);
    pen.lineTo(x, rows.top - 1);
    pen.lineTo(x - 5, rows.top - 7);
    pen.closePath();
    pen.fill();
  }
}

function drawAxis(width) {
  const right = axis.left + axis.width;
  pen.fillStyle = colours["--raised"];
  pen.fillRect(0, 0, width, rows.top);
  pen.strokeStyle = colours["--line"];
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(0, rows.top + 0.5);
  pen.lineTo(width, rows.top + 0.5);
  pen.moveTo(axis.left - 0.5, 0);
  pen.lineTo(axis.left - 0.5, rows.top + rows.view);
  pen.stroke();
  const step = 118;
  const steps = [];
  for (let x = axis.left + 8; x < right - 40; x += step) steps.push([x, timeOfPlace(placeOfX(x))]);
  const spread = Math.max(timeOfPlace(axis.to) - timeOfPlace(axis.from), 1);
  const digits = Math.min(9, Math.max(0, Math.ceil(-Math.log10(spread / 1e9 / 400))));
  let before = "";
  for (const [x, at] of steps) {
    const text = `${Math.max(0, at / 1e9).toFixed(digits)} s`;
    if (text === before || at < 0 || placeOfX(x) > axis.place[events.count]) continue;
    before = text;
    pen.strokeStyle = colours["--line"];
    pen.beginPath();
    pen.moveTo(Math.round(x) + 0.5, 3);
    pen.lineTo(Math.round(x) + 0.5, 17);
    pen.stroke();
    label(text, x + 5, 14, step - 10, colours["--soft"], `11px ${FONT}`);
  }
  label("virtual time", 12, 15, 180, colours["--dim"], `11px ${FONT}`);
  drawQuiet(right);
}

/** Of the scale by steps: how long nothing happened, where there is room to say it. */
function drawQuiet(right) {
  if (axis.byTime || scale() < 2) return;
  const least = 44 / scale();
  let said = 0;
  for (let event = Math.max(1, eventAt(axis.from)); event < events.count && said < 60; event++) {
    const x1 = xOf(event - 1);
    if (x1 > right) break;
    if (axis.place[event] - axis.place[event - 1] < least) continue;
    const x2 = xOf(event);
    const gap = events.at[event] - events.at[event - 1];
    if (gap <= 0 || x1 < axis.left - 20) continue;
    pen.textAlign = "center";
    label(`+ ${duration(gap)}`, (x1 + x2) / 2, rows.top - 6, x2 - x1 - 4, colours["--dim"], `10px ${FONT}`);
    pen.textAlign = "left";
    said++;
  }
}

/** Instants side by side, so that one sees what happens at the same. */
function drawInstants() {
  const right = axis.left + axis.width;
  if (axis.byTime || (eventAt(axis.to) - eventAt(axis.from)) > axis.width / 13) return;
  pen.fillStyle = colours["--faint"];
  for (let event = Math.max(1, eventAt(axis.from) - 1); event < events.count; event++) {
    const x = xOf(event);
    if (x > right) break;
    if (events.at[event] === events.at[event - 1]) continue;
    const before = xOf(event - 1) + Math.min(scale() * 0.75, 46);
    if (x - before > 6) pen.fillRect(before, rows.top + 1, x - before - 3, rows.view);
  }
}

function drawLabels(visible) {
  pen.fillStyle = colours["--raised"];
  pen.fillRect(0, rows.top + 1, axis.left - 1, rows.view);
  const failing = new Set(stops.flatMap((stop) => stop.lanes));
  for (const row of visible) {
    const { kind, owner, host } = lanes[row.lane];
    const y = rows.top + row.y + row.height / 2 - rows.scroll;
    const isFailing = lanesOf(row).some((lane) => failing.has(lane));
    const isHit = state.selected !== null && rowOf(laneOfSelected()) === row;
    if (isHit) {
      pen.fillStyle = colours["--accent-soft"];
      pen.fillRect(0, y - row.height / 2, axis.left - 1, row.height);
    }
    if (kind === "host") {
      pen.fillStyle = colours["--soft"];
      const isClosed = rows.closed.has(host);
      pen.beginPath();
      if (isClosed) { pen.moveTo(12, y - 4); pen.lineTo(18, y); pen.lineTo(12, y + 4); }
      else { pen.moveTo(10, y - 3); pen.lineTo(18, y - 3); pen.lineTo(14, y + 3); }
      pen.fill();
    }
    const indent = kind === "host" || kind === "scenario" ? 26 : kind === "task" ? 26 : owner === null ? 26 : 40;
    const colour = isFailing ? colours["--fault"] : kind === "host" ? colours["--ink"] : kind === "task" ? colours["--ink"] : colours["--soft"];
    const font = kind === "host" ? `650 12.5px ${FONT}` : kind === "task" ? `12px ${FONT}` : `11.5px ${FONT}`;
    label(nameOf(row), indent, y + 4, axis.left - indent - (isFailing ? 24 : 10), colour, font);
    if (isFailing) drawShape(pen, "odd", axis.left - 14, y, 4.6, colours["--fault"], colours["--raised"]);
  }
  pen.fillStyle = colours["--raised"];
  pen.fillRect(0, 0, axis.left - 1, rows.top);
}

function laneOfSelected() {
  const { event, span, message } = state.selected;
  if (event !== undefined) return events.lane[event];
  return span !== undefined ? spans.lane[span] : messages.from[message];
}

function draw() {
  const [, width, height] = sized(canvas);
  axis.width = width - axis.left - 10;
  if (rows.view !== height - rows.top) {
    rows.view = height - rows.top;
    layOut();
  }
  scrollTo(rows.scroll);
  pen.fillStyle = colours["--paper"];
  pen.fillRect(0, 0, width, height);
  const inView = (row) => row.height > 0 && row.y + row.height > rows.scroll - 40 && row.y < rows.scroll + rows.view + 40;
  const visible = rows.list.filter(inView);
  pen.save();
  pen.beginPath();
  pen.rect(axis.left, rows.top, width - axis.left, rows.view);
  pen.clip();
  drawInstants();
  for (const row of visible) {
    const y = rows.top + row.y - rows.scroll;
    if (row.isOwn) {
      pen.fillStyle = colours["--sunken"];
      pen.globalAlpha = 0.9;
      pen.fillRect(axis.left, y, width, row.height);
      pen.globalAlpha = 1;
    } else if (lanes[row.lane].kind !== "task") {
      for (const lane of row.lanes) drawLife(lane, y + row.height / 2);
    }
  }
  for (const row of visible) {
    const y = rows.top + row.y + row.height / 2 - rows.scroll;
    const isClosed = rows.closed.has(lanes[row.lane].host) && row.isOwn;
    if (row.isOwn) drawBands(row.lane, row, y);
    for (const lane of lanesOf(row)) drawLane(lane, row, y, isClosed && lane !== row.lane);
  }
  drawMessages();
  for (const row of visible) {
    const y = rows.top + row.y + row.height / 2 - rows.scroll;
    const isClosed = rows.closed.has(lanes[row.lane].host) && row.isOwn;
    for (const lane of lanesOf(row)) drawMarks(lane, row, y, isClosed && lane !== row.lane);
  }
  drawHits();
  drawPath();
  drawSelected();
  pen.restore();
  drawLabels(visible);
  drawAxis(width);
  drawStops();
  drawScrollbar(width);
  drawOverview();
  state.frames++;
}

/** The line of a socket, as long as there is one. */
function drawLife(lane, y) {
  const { start, items } = eventsOfLane;
  if (start[lane] === start[lane + 1]) return;
  const x1 = xOf(items[start[lane]]);
  const x2 = xOf(items[start[lane + 1] - 1]);
  pen.strokeStyle = colours["--line"];
  pen.lineWidth = 1.2;
  pen.beginPath();
  pen.moveTo(Math.max(x1, axis.left), y);
  pen.lineTo(Math.min(x2, axis.left + axis.width), y);
  pen.stroke();
}

function drawScrollbar(width) {
  if (rows.height <= rows.view) return;
  const size = Math.max(30, (rows.view * rows.view) / rows.height);
  const y = rows.top + (rows.scroll / (rows.height - rows.view)) * (rows.view - size);
  pen.fillStyle = colours["--dim"];
  pen.globalAlpha = 0.5;
  pen.beginPath();
  pen.roundRect(width - 8, y + 2, 5, size - 4, 3);
  pen.fill();
  pen.globalAlpha = 1;
}

// All of the run: how much happens when, what goes wrong, and which part is shown below.
const overview = document.getElementById("overview");
let density = null;

function drawOverview() {
  const [context, width, height] = sized(overview);
  const span = width - axis.left - 10;
  const x = (place) => axis.left + ((place + total() * 0.03) / (total() * 1.06)) * span;
  if (!density || density.width !== width || density.byTime !== axis.byTime) {
    density = { width, byTime: axis.byTime, bins: new Float64Array(Math.max(1, Math.ceil(span / 3))), faults: new Set() };
    for (let event = 0; event < events.count; event++) {
      const bin = Math.min(density.bins.length - 1, Math.max(0, ((x(axis.place[event]) - axis.left) / 3) | 0));
      density.bins[bin]++;
      if (events.fault[event]) density.faults.add(bin);
    }
    density.most = density.bins.reduce((most, bin) => Math.max(most, bin), 1);
  }
  density.bins.forEach((bin, place) => {
    if (!bin) return;
    const size = 3 + Math.sqrt(bin / density.most) * (height - 20);
    context.fillStyle = colours["--control"];
    context.fillRect(axis.left + place * 3, height - size - 4, 2.2, size);
    if (density.faults.has(place)) {
      context.fillStyle = colours["--fault"];
      context.fillRect(axis.left + place * 3, height - 5, 2.2, 4);
    }
  });
  const [from, to] = [x(axis.from), x(axis.to)];
  context.fillStyle = colours["--accent"];
  context.globalAlpha = 0.1;
  context.fillRect(from, 0, Math.max(to - from, 3), height);
  context.globalAlpha = 1;
  context.strokeStyle = colours["--accent"];
  context.lineWidth = 1.5;
  context.strokeRect(from + 0.75, 0.75, Math.max(to - from, 3) - 1.5, height - 1.5);
  for (const { event } of stops) {
    if (event === null) continue;
    context.fillStyle = colours["--fault"];
    context.fillRect(x(axis.place[event]) - 1, 2, 2, height - 4);
  }
  pen.font = `11px ${FONT}`;
  context.font = `11px ${FONT}`;
  context.fillStyle = colours["--dim"];
  context.fillText("all of the run", 12, height / 2 + 4);
  drawOverview.place = (at) => ((at - axis.left) / span) * total() * 1.06 - total() * 0.03;
}

let isAsked = false;
/** Draws once before the next picture of the screen, however often it is asked for. */
function redraw() {
  if (isAsked) return;
  isAsked = true;
  requestAnimationFrame(() => {
    isAsked = false;
    draw();
  });
}
