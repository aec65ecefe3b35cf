// node-redis through switches: called with the port of the proxy and the version of RESP.
'use strict';

const assert = require('node:assert/strict');
const { createClient, defineScript, WatchError } = require('redis');
const { watch, work } = require('./progress');

const [port, RESP] = process.argv.slice(2).map(Number);
const clients = [];

const add = defineScript({
  SCRIPT: "return redis.call('INCRBY', KEYS[1], ARGV[1])",
  NUMBER_OF_KEYS: 1,
  parseCommand(parser, key, by) {
    parser.pushKey(key);
    parser.push(String(by));
  },
  transformReply: (reply) => reply,
});

/** A client that gives up at once instead of connecting again. */
function connect(name, more) {
  const client = createClient({ RESP, socket: { port, host: '127.0.0.1', reconnectStrategy: false }, scripts: { add }, ...more });
  clients.push(client);
  return watch(client, name, 'error', 'end', 'reconnecting');
}

const names = ['many', 'transacting', 'rival 0', 'rival 1', 'scripted', 'pushing', 'popping'];
const [many, transacting, first, second, scripted, pushing, popping] = names.map((name) => connect(name));
const plain = connect('plain', { database: 3 });

async function commands(done) {
  assert.equal(await plain.incr('n'), done + 1);
  await plain.hSet('h', { a: done, b: 'x'.repeat(2000) });
  assert.deepEqual({ ...(await plain.hGetAll('h')) }, { a: String(done), b: 'x'.repeat(2000) });
  await plain.zAdd('z', { value: 'm', score: done });
  assert.equal(await plain.zScore('z', 'm'), done);
}

async function atOnce(done) {
  const got = await Promise.all(Array.from({ length: 30 }, (_, key) => many.incr(`many:${key}`)));
  assert.deepEqual(got, Array(30).fill(done + 1));
}

async function transactions(done) {
  const got = await transacting.multi().incr('multi').incr('multi').get('multi').exec();
  assert.deepEqual(got, [done * 2 + 1, done * 2 + 2, String(done * 2 + 2)]);
}

/** Adds one, and tries again as often as a rival or a switch comes between. */
const rival = (client) => async () => {
  for (;;) {
    await client.watch('rivals');
    const value = Number(await client.get('rivals'));
    try {
      await client.multi().set('rivals', value + 1).exec();
      return;
    } catch (error) {
      if (!(error instanceof WatchError)) throw error;
    }
  }
};

async function scripts(done) {
  assert.equal(await scripted.add('script', 2), (done + 1) * 2);
}

async function queue(done) {
  const waiting = popping.blPop('jobs', 0);
  await pushing.get('nothing');
  await pushing.rPush('jobs', String(done));
  assert.deepEqual({ ...(await waiting) }, { key: 'jobs', element: String(done) });
}

async function finish(counts) {
  assert.equal(Number(await plain.get('n')), counts.commands);
  assert.equal(Number(await many.get('rivals')), counts.rival0 + counts.rival1);
  clients.forEach((client) => client.destroy());
  return {};
}

async function main() {
  await Promise.all(clients.map((client) => client.connect()));
  await work({ commands, atOnce, transactions, rival0: rival(first), rival1: rival(second), scripts, queue }, finish);
}

main();
