// What fetch() does against the playground, in Node and in a page of Chromium alike: a list of what, expected, actual.
// Knows of its surroundings only whether a body may be a stream (in Chromium not over HTTP/1.1).

function noise(length, seed) {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

async function firstDifference(response, expected) {
  const actual = new Uint8Array(await response.arrayBuffer());
  if (actual.length !== expected.length) return `${actual.length} bytes`;
  return actual.findIndex((byte, at) => byte !== expected[at]);
}

const nameOfWhatIsThrown = (promise) => promise.then(() => 'nothing', (error) => error.name);

async function inTurn(origin, count) {
  const bodies = new Set();
  for (let n = 0; n < count; n++) bodies.add(await (await fetch(`${origin}/json`)).text());
  return [...bodies];
}

async function answers(origin, check) {
  let response = await fetch(`${origin}/plaintext`);
  check('GET', [200, 'text/plain', 'Hello, World!'],
    [response.status, response.headers.get('content-type'), await response.text()]);
  response = await fetch(`${origin}/plaintext`, { method: 'HEAD' });
  check('HEAD', [200, '13', ''], [response.status, response.headers.get('content-length'), await response.text()]);
  response = await fetch(`${origin}/panic`);
  check('a panic', [500, 'application/problem+json', 500],
    [response.status, response.headers.get('content-type'), (await response.json()).status]);
  response = await fetch(`${origin}/nothing`);
  check('no such route', [404, '404 Not Found\n'], [response.status, await response.text()]);
  const late = Array.from({ length: 50 }, async (_, n) => (await fetch(`${origin}/sleep/${n}`)).text());
  check('50 at once', Array.from({ length: 50 }, (_, n) => `slept ${n} ms\n`), await Promise.all(late));
}

async function bodies(origin, check, streamsUp) {
  const sent = noise(2 * 1024 * 1024, 1);
  let response = await fetch(`${origin}/echo`, { method: 'POST', body: sent });
  check('2 MiB with a length come back', -1, await firstDifference(response, sent));
  response = await fetch(`${origin}/stream/20000`);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let [text, pieces] = ['', 0];
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    text += read.value;
    pieces += 1;
  }
  const whole = Array.from({ length: 20000 }, (_, n) => `chunk ${n}\n`).join('');
  check('a stream, piece by piece', [true, true], [text === whole, pieces > 1]);
  if (!streamsUp) return;
  const left = Array.from({ length: 64 }, (_, n) => sent.subarray(n * 32768, (n + 1) * 32768));
  const body = new ReadableStream({
    pull(controller) {
      if (left.length) controller.enqueue(left.shift());
      else controller.close();
    },
  });
  response = await fetch(`${origin}/echo`, { method: 'POST', body, duplex: 'half' });
  check('2 MiB of a stream come back', -1, await firstDifference(response, sent));
}

async function goingAway(origin, check, streamsUp) {
  let away = new AbortController();
  setTimeout(() => away.abort(), 100);
  check('abort before the answer', 'AbortError',
    await nameOfWhatIsThrown(fetch(`${origin}/sleep/10000`, { signal: away.signal })));
  away = new AbortController();
  const reader = (await fetch(`${origin}/stream/4000000000`, { signal: away.signal })).body.getReader();
  await reader.read();
  away.abort();
  const toTheEnd = async () => {
    while (!(await reader.read()).done);
  };
  check('abort in the answer', 'AbortError', await nameOfWhatIsThrown(toTheEnd()));
  if (streamsUp) {
    const upload = new AbortController();
    let pieces = 0;
    const body = new ReadableStream({
      async pull(controller) {
        await new Promise((done) => setTimeout(done, 5));
        pieces += 1;
        // Who brings nothing more is not asked again: undici asks for ever, also after an abort.
        if (pieces > 20) upload.abort();
        else controller.enqueue(new Uint8Array(1000));
      },
    });
    const whole = async () => (await fetch(`${origin}/echo`,
      { method: 'POST', body, duplex: 'half', signal: upload.signal })).arrayBuffer();
    check('abort in the upload', 'AbortError', await nameOfWhatIsThrown(whole()));
  }
  check('after that', 'Hello, World!', await (await fetch(`${origin}/plaintext`)).text());
}

async function all(origin, streamsUp) {
  const made = [];
  const check = (what, expected, actual) => made.push([what, expected, actual]);
  await answers(origin, check);
  await bodies(origin, check, streamsUp);
  await goingAway(origin, check, streamsUp);
  return made;
}
