// From events and instants to places on the screen, and back. Two scales: steps, where each event has room and quiet times are
// short; and time, as it passes.

const STEP = 1;
const axis = { byTime: false, place: null, places: {}, from: 0, to: 1, left: 238, width: 100 };

/** How much room a quiet time has: more for a longer one, but not as much more as it is longer. */
const quiet = (ns) => (ns > 0 ? 0.8 + 0.34 * Math.log2(1 + ns / 1e4) : 0);

function placesByStep() {
  const places = new Float64Array(events.count + 1);
  for (let event = 1; event < events.count; event++) {
    places[event] = places[event - 1] + STEP + quiet(events.at[event] - events.at[event - 1]);
  }
  const last = Math.max(0, events.count - 1);
  places[events.count] = places[last] + 2 * STEP + quiet(heading.end - events.at[last]);
  return places;
}

function placesByTime() {
  const places = new Float64Array(events.count + 1);
  places.set(events.at);
  places[events.count] = Math.max(heading.end, events.count ? events.at[events.count - 1] : 0);
  return places;
}

function useScale(byTime) {
  const middle = axis.place && events.count ? eventAt((axis.from + axis.to) / 2) : 0;
  const share = axis.place ? (axis.to - axis.from) / total() : 1;
  axis.byTime = byTime;
  axis.place = axis.places[byTime] ??= byTime ? placesByTime() : placesByStep();
  const half = (total() * share) / 2;
  show(axis.place[middle] - half, axis.place[middle] + half);
}

const total = () => Math.max(axis.place[events.count], 1e-9);
const margin = () => (axis.to - axis.from) * 0.03;

/** Shows this part, as far as there is one. */
function show(from, to) {
  const least = axis.byTime ? 200 : 4;
  const most = total() * 1.06;
  const width = Math.min(Math.max(to - from, Math.min(least, most)), most);
  const middle = (from + to) / 2;
  const low = -total() * 0.03;
  axis.from = Math.min(Math.max(middle - width / 2, low), Math.max(low, total() * 1.03 - width));
  axis.to = axis.from + width;
}

const fit = () => show(-total() * 0.03, total() * 1.03);
const scale = () => axis.width / (axis.to - axis.from);
const xOfPlace = (place) => axis.left + (place - axis.from) * scale();
const xOf = (event) => xOfPlace(axis.place[event]);
const placeOfX = (x) => axis.from + (x - axis.left) / scale();
const eventAt = (place) => Math.min(lowerBound(axis.place, place), events.count - 1);

/** The instant at a place: between two events it is in between. */
function timeOfPlace(place) {
  if (axis.byTime || events.count === 0) return place;
  const next = lowerBound(axis.place, place);
  if (next === 0) return events.at[0];
  if (next >= events.count) return events.at[events.count - 1];
  const [a, b] = [axis.place[next - 1], axis.place[next]];
  // A step is at its instant; only what is beyond passes.
  const share = Math.min(1, Math.max(0, (place - a) / Math.max(b - a, 1e-12)));
  return events.at[next - 1] + (events.at[next] - events.at[next - 1]) * share;
}

function placeOfTime(ns) {
  if (axis.byTime || events.count === 0) return ns;
  const next = lowerBound(events.at, ns);
  if (next >= events.count) return axis.place[events.count];
  if (next === 0 || events.at[next] === ns) return axis.place[next];
  const share = (ns - events.at[next - 1]) / (events.at[next] - events.at[next - 1]);
  return axis.place[next - 1] + (axis.place[next] - axis.place[next - 1]) * share;
}

function zoom(factor, x = axis.left + axis.width / 2) {
  const at = placeOfX(x);
  show(at - (at - axis.from) * factor, at + (axis.to - at) * factor);
}

function pan(pixels) {
  const by = pixels / scale();
  show(axis.from + by, axis.to + by);
}

/** Brings an event into sight, with some of what is around it. */
function center(event) {
  const place = axis.place[event];
  const width = axis.to - axis.from;
  if (place < axis.from + width * 0.12 || place > axis.to - width * 0.12) show(place - width / 2, place + width / 2);
}
