// ioredis through switches: called with the port of the proxy.
'use strict';

const assert = require('node:assert/strict');
const Redis = require('ioredis');
const { watch, work } = require('./progress');

const port = Number(process.argv[2]);
const clients = [];

/** A client that gives up at once instead of connecting again. */
function connect(name, more) {
  const client = new Redis({ port, retryStrategy: null, maxRetriesPerRequest: 0, ...more });
  clients.push(client);
  return watch(client, name, 'error', 'close', 'reconnecting');
}

const plain = connect('plain', { db: 3 });
const many = connect('many', { enableAutoPipelining: true });
const pipes = connect('pipelines');
const transacting = connect('transactions');
const open = connect('open transactions');
const rivals = [connect('rival 0'), connect('rival 1')];
const scripted = connect('scripts', { scripts: { add: { lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])", numberOfKeys: 1 } } });
const [pushing, popping, adding, reading] = ['pushing', 'popping', 'adding', 'reading'].map((name) => connect(name));

let last = '0';

const numbers = (first, length) => Array.from({ length }, (_, at) => first + at);
const results = (values) => values.map((value) => [null, value]);

async function commands(done) {
  assert.equal(await plain.incr('n'), done + 1);
  await plain.hset('h', { a: done, b: 'x'.repeat(2000) });
  assert.deepEqual(await plain.hgetall('h'), { a: String(done), b: 'x'.repeat(2000) });
}

async function atOnce(done) {
  const got = await Promise.all(numbers(0, 30).map((key) => many.incr(`many:${key}`)));
  assert.deepEqual(got, Array(30).fill(done + 1));
}

async function pipelines(done) {
  const pipe = pipes.pipeline();
  for (let at = 0; at < 10; at += 1) pipe.incr('pipe');
  assert.deepEqual(await pipe.exec(), results(numbers(done * 10 + 1, 10)));
}

async function transactions(done) {
  const got = await transacting.multi().incr('multi').incr('multi').get('multi').exec();
  assert.deepEqual(got, results([done * 2 + 1, done * 2 + 2, String(done * 2 + 2)]));
}

/** Each command waits for its QUEUED, so that switches fall into open transactions. */
async function openTransactions(done) {
  await open.multi({ pipeline: false });
  assert.equal(await open.incr('open'), 'QUEUED');
  assert.equal(await open.incr('open'), 'QUEUED');
  assert.deepEqual(await open.exec(), results([done * 2 + 1, done * 2 + 2]));
}

/** Adds one, and tries again as often as a rival or a switch comes between. */
const rival = (client) => async () => {
  for (;;) {
    await client.watch('rivals');
    const value = Number(await client.get('rivals'));
    if (await client.multi().set('rivals', value + 1).exec()) return;
  }
};

async function scripts(done) {
  assert.equal(await scripted.add('script', 2), (done + 1) * 2);
}

async function queue(done) {
  const waiting = popping.blpop('jobs', 0);
  await pushing.get('nothing');
  await pushing.rpush('jobs', done);
  assert.deepEqual(await waiting, ['jobs', String(done)]);
}

async function stream(done) {
  const waiting = reading.xread('BLOCK', 0, 'STREAMS', 'stream', last);
  await adding.get('nothing');
  last = await adding.xadd('stream', 'MAXLEN', '10', '*', 'number', done);
  assert.deepEqual(await waiting, [['stream', [[last, ['number', String(done)]]]]]);
}

async function finish(counts) {
  assert.equal(Number(await plain.get('n')), counts.commands);
  assert.equal(Number(await many.get('rivals')), counts.rival0 + counts.rival1);
  clients.forEach((client) => client.disconnect());
  return {};
}

const [rival0, rival1] = rivals.map(rival);
work({ commands, atOnce, pipelines, transactions, openTransactions, rival0, rival1, scripts, queue, stream }, finish);
