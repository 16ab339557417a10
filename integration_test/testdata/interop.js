// Node's ws against an echo server: interop.js URI SIZES [deflate]
// Says what it exercised, a line each, once it has seen it to be right.
'use strict';
const assert = require('assert');
const {once} = require('events');
const WebSocket = require('ws');
const [uri, sizes, deflate] = process.argv.slice(2);

async function connect() {
  const ws = new WebSocket(uri, {perMessageDeflate: deflate === 'deflate' && {threshold: 0}, maxPayload: 64 << 20});
  await once(ws, 'open');
  return ws;
}

async function echoed(ws, message, binary) {
  const [data, isBinary] = await once(ws, 'message');
  assert.strictEqual(isBinary, binary);
  assert.ok(Buffer.from(message).equals(data), 'another message came back');
}

(async () => {
  console.log('version ws', require('ws/package.json').version, 'node', process.version);
  let ws = await connect();
  for (const size of sizes.split(',').map(Number)) {
    const text = 'abcdefghijklmnop'.repeat(size / 16 + 1).slice(0, size);
    ws.send(text);
    await echoed(ws, text, false);
    console.log('text', size);
    const binary = Buffer.alloc(size, Buffer.from(Array.from({length: 16}, (_, i) => 240 + i)));
    ws.send(binary);
    await echoed(ws, binary, true);
    console.log('binary', size);
  }
  let whole = '';
  for (let n = 0; n < 10; n++) {
    const part = `part ${n} \u2603 `;
    whole += part;
    ws.send(part, {fin: n === 9});
  }
  await echoed(ws, whole, false);
  console.log('fragments');
  for (const payload of [Buffer.alloc(0), Buffer.alloc(125, 0xff)]) {
    ws.ping(payload);
    const [pong] = await once(ws, 'pong');
    assert.ok(payload.equals(pong));
  }
  console.log('ping');
  let pings = 0;
  ws.on('ping', () => pings++);
  await new Promise(done => setTimeout(done, 1500)); // the server pings every half second
  assert.ok(pings > 0, 'the server sent no ping');
  ws.send('still here');
  await echoed(ws, 'still here', false);
  console.log('pong');
  ws.close(4001, 'grüße');
  assert.strictEqual((await once(ws, 'close'))[0], 4001);
  console.log('close 4001');

  ws = await connect();
  ws.send('close 4002 bye');
  const [code, reason] = await once(ws, 'close');
  assert.deepStrictEqual([code, reason.toString()], [4002, 'bye']);
  console.log('closed 4002');

  ws = await connect();
  ws.close(1000);
  console.log('close', (await once(ws, 'close'))[0]);
})().catch(e => { console.error(e); process.exit(1); });
