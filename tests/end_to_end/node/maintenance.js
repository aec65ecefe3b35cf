// node-redis with a short timeout, through pauses and to another proxy: called with the port of the proxy,
// how it asks for maintenance notifications ("reconnecting": it asks, and may lose its connection), and for which endpoint.
'use strict';

const assert = require('node:assert/strict');
const { createClient } = require('redis');
const { fail, watch, work } = require('./progress');

const [port, mode, maintEndpointType = 'auto'] = process.argv.slice(2);
const reconnecting = mode === 'reconnecting';
const key = `n:${mode}`;

const client = createClient({
  RESP: 3,
  socket: { host: '127.0.0.1', port: Number(port), socketTimeout: 500, reconnectStrategy: reconnecting ? 20 : false },
  maintNotifications: reconnecting ? 'enabled' : mode,
  maintEndpointType,
});
if (reconnecting) client.on('error', () => {});
else watch(client, 'client', 'error', 'reconnecting');
process.on('unhandledRejection', (error) => fail('unhandled', error));

async function commands(done) {
  if (reconnecting) await client.incr(key).catch(() => {});
  else assert.equal(await client.incr(key), done + 1);
  await new Promise((resolve) => setTimeout(resolve, 5));
}

async function finish() {
  client.destroy();
  return {};
}

async function main() {
  await client.connect();
  await work({ commands }, finish);
}

main();
