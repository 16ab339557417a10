// The browser's WebSocket against an echo server: (uri, sizes) => what was
// exercised, a line each.
async (uri, sizes) => {
  const said = [];
  const once = (ws, event) => new Promise((resolve, reject) => {
    ws.addEventListener(event, resolve, {once: true});
    ws.addEventListener('error', () => reject(new Error('error event')), {once: true});
  });
  const connect = async () => {
    const ws = new WebSocket(uri);
    ws.binaryType = 'arraybuffer';
    await once(ws, 'open');
    return ws;
  };
  const check = (ok, what) => { if (!ok) throw new Error(what); };

  let ws = await connect();
  for (const size of sizes) {
    const text = 'abcdefghijklmnop'.repeat(size / 16 + 1).slice(0, size);
    ws.send(text);
    check((await once(ws, 'message')).data === text, `text of ${size} came back as another`);
    said.push(`text ${size}`);
    const binary = Uint8Array.from({length: size}, (_, i) => 240 + i % 16);
    ws.send(binary);
    const back = new Uint8Array((await once(ws, 'message')).data);
    check(back.length === size && back.every((b, i) => b === binary[i]), `binary of ${size} came back as another`);
    said.push(`binary ${size}`);
  }
  await new Promise(done => setTimeout(done, 1500)); // the server pings every half second
  ws.send('still here');
  check((await once(ws, 'message')).data === 'still here', 'something else came');
  said.push('pong');
  ws.close(4001, 'grüße');
  let closed = await once(ws, 'close');
  check(closed.wasClean, 'not closed cleanly');
  said.push(`close ${closed.code}`);

  ws = await connect();
  ws.send('close 4002 bye');
  closed = await once(ws, 'close');
  check(closed.wasClean && closed.reason === 'bye', 'closed otherwise');
  said.push(`closed ${closed.code}`);

  ws = await connect();
  ws.close(1000);
  said.push(`close ${(await once(ws, 'close')).code}`);
  return said;
}
