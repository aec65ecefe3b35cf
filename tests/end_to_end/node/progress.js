// What every worker here does: steps of several kinds, all at once, until standard input ends. Lines of JSON on standard
// output tell how many steps of each kind are done, and the first thing that went wrong.
'use strict';

const counts = {};
let problem = '';
let stopping = false;

/** Remember what went wrong first; an error that comes because the work has ended is none. */
function fail(what, error) {
  if (!problem) problem = `${what}: ${error && error.stack ? error.stack : error}`;
}

/** Whatever these events bring is a problem, until the work has ended: nothing here may lose its connection. */
function watch(client, name, ...events) {
  for (const event of events) {
    client.on(event, (detail) => stopping || fail(`${name} ${event}`, detail));
  }
  return client;
}

async function repeat(kind, step) {
  counts[kind] = 0;
  try {
    while (!stopping && !problem) {
      await step(counts[kind]);
      counts[kind] += 1;
    }
  } catch (error) {
    fail(kind, error);
  }
}

function tell(more) {
  process.stdout.write(`${JSON.stringify({ counts, problem, ...more })}\n`);
}

/**
 * Take all kinds of steps until told to end.
 * @param kinds by name, a function that takes one step, is given how many it has taken, and checks what it gets
 * @param finish closes everything; what it returns is told in the last line
 */
async function work(kinds, finish) {
  process.stdin.on('end', () => (stopping = true)).resume();
  const telling = setInterval(tell, 20);
  await Promise.all(Object.entries(kinds).map(([kind, step]) => repeat(kind, step)));
  let found = {};
  try {
    stopping = true;
    found = await finish(counts);
  } catch (error) {
    fail('at the end', error);
  }
  clearInterval(telling);
  tell(found);
  process.exit(problem ? 1 : 0);
}

module.exports = { fail, watch, work };
