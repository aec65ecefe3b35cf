// BullMQ through switches: called with the port of the proxy. Every job leaves its number in a list; none may be missing
// there at the end, and none may be there twice.
'use strict';

const assert = require('node:assert/strict');
const Redis = require('ioredis');
const { Queue, QueueEvents, Worker } = require('bullmq');
const { fail, watch, work } = require('./progress');

const connection = { host: '127.0.0.1', port: Number(process.argv[2]), maxRetriesPerRequest: null };
const queue = new Queue('work', { connection });
const events = new QueueEvents('work', { connection });
const redis = new Redis(connection);
const workers = [1, 2].map(() => new Worker('work', run, { connection, concurrency: 5 }));

let added = 0;
const failedOnce = new Set();
const completed = new Map();

/** One job in seven fails the first time, and is tried again. */
async function run(job) {
  const { number } = job.data;
  if (number % 7 === 0 && !failedOnce.has(number)) {
    failedOnce.add(number);
    throw new Error('tried again');
  }
  await redis.rpush('ran', number);
  return number;
}

for (const each of [queue, events, ...workers]) watch(each, each.constructor.name, 'error', 'ioredis:close');
watch(redis, 'redis', 'error', 'close');
for (const each of workers) each.on('stalled', (id) => fail('stalled', id));
events.on('completed', ({ returnvalue }) => {
  const number = Number(returnvalue);
  completed.set(number, (completed.get(number) || 0) + 1);
});

const job = (number, more) => ({ name: 'job', data: { number }, opts: { attempts: 2, ...more } });
const pause = (ms) => new Promise((go) => setTimeout(go, ms));

async function until(true_, what) {
  const deadline = Date.now() + 20000;
  while (!(await true_())) {
    assert.ok(Date.now() < deadline, `waited in vain until ${what}`);
    await pause(5);
  }
}

/** Three jobs at once and a late one; now and then wait for all, so that the workers block. */
async function jobs(done) {
  const four = [job(added), job(added + 1), job(added + 2, { priority: 3 }), job(added + 3, { delay: 20 })];
  await queue.addBulk(four);
  added += four.length;
  if (done % 5 === 4) await until(() => completed.size === added, 'all jobs are done');
  else await pause(5);
}

async function finish() {
  await until(() => completed.size === added, 'all jobs are done');
  const ran = (await redis.lrange('ran', 0, -1)).map(Number).sort((one, two) => one - two);
  assert.deepEqual(ran, Array.from({ length: added }, (_, number) => number));
  assert.ok([...completed.values()].every((times) => times === 1), 'a job was completed twice');
  assert.equal(await queue.getFailedCount(), 0);
  assert.ok(failedOnce.size > 0);
  await Promise.all([...workers, events, queue].map((each) => each.close()));
  redis.disconnect();
  return { jobs: added };
}

Promise.all([queue, events, ...workers].map((each) => each.waitUntilReady())).then(() => work({ jobs }, finish));
