'use strict';
// A FastCGI client of the kind that somebody writes who wants speed: a fixed
// number of kept connections, one write per request, no limits, no checks.

const net = require('net');

const HEAD_END = Buffer.from('\r\n\r\n');

function param(name, value) {
  const n = Buffer.from(name), v = Buffer.from(value);
  return Buffer.concat([length(n.length), length(v.length), n, v]);
}

function length(n) {
  return n < 128 ? Buffer.from([n]) : Buffer.from([n >>> 24 | 128, n >>> 16 & 255, n >>> 8 & 255, n & 255]);
}

class Client {
  constructor(socket, script, conns) {
    this.socket = socket;
    this.params = Buffer.concat([
      param('SCRIPT_FILENAME', script), param('SCRIPT_NAME', '/ws.php'), param('REQUEST_METHOD', 'POST'),
      param('REQUEST_URI', '/ws'), param('CONTENT_TYPE', 'text/plain'), param('SERVER_PROTOCOL', 'HTTP/1.1'),
      param('GATEWAY_INTERFACE', 'CGI/1.1'), param('REDIRECT_STATUS', '200'),
    ]);
    this.idle = Array.from({length: conns}, () => new Connection(this));
    this.waiting = [];
    this.first = 0; // of waiting
  }

  // do runs the script with a body; done is called with an error or what it printed.
  do(body, done) {
    if (this.idle.length > 0) {
      this.idle.pop().send(body, done);
    } else {
      this.waiting.push(body, done);
    }
  }

  release(connection) {
    if (this.first === this.waiting.length) {
      this.waiting.length = this.first = 0;
      this.idle.push(connection);
      return;
    }
    const body = this.waiting[this.first++], done = this.waiting[this.first++];
    if (this.first > 1024) {
      this.waiting.splice(0, this.first);
      this.first = 0;
    }
    connection.send(body, done);
  }
}

class Connection {
  constructor(client) {
    this.client = client;
    this.net = null;
    this.done = null;
    this.rest = null; // the beginning of a record
    this.parts = [];  // what the script has printed
  }

  send(body, done) {
    this.done = done;
    if (this.net === null) {
      this.net = net.connect(this.client.socket);
      this.net.on('data', (data) => this.read(data));
      this.net.on('error', (err) => this.fail(err));
      this.net.on('close', () => this.fail(new Error('closed')));
    }
    this.net.write(this.request(body));
  }

  request(body) {
    const digits = String(body.length);
    const params = this.client.params.length + 16 + digits.length;
    const records = Math.ceil(body.length / 65535);
    const b = Buffer.allocUnsafe(16 + 8 + params + 8 + body.length + 8 * (records + 1));
    let at = this.header(b, 0, 1, 8);
    at = b.writeUInt32BE(0x00010100, at); // responder, KEEP_CONN
    at = b.writeUInt32BE(0, at);
    at = this.header(b, at, 4, params);
    at += this.client.params.copy(b, at);
    b[at++] = 14;
    b[at++] = digits.length;
    at += b.write('CONTENT_LENGTH' + digits, at, 'latin1');
    at = this.header(b, at, 4, 0);
    for (let from = 0; from < body.length; from += 65535) {
      const to = Math.min(from + 65535, body.length);
      at = this.header(b, at, 5, to - from);
      at += body.copy(b, at, from, to);
    }
    this.header(b, at, 5, 0);
    return b;
  }

  header(b, at, type, size) {
    b[at] = 1;
    b[at + 1] = type;
    b[at + 2] = 0;
    b[at + 3] = 1;
    b[at + 4] = size >>> 8;
    b[at + 5] = size & 255;
    b[at + 6] = 0;
    b[at + 7] = 0;
    return at + 8;
  }

  read(data) {
    const b = this.rest === null ? data : Buffer.concat([this.rest, data]);
    let at = 0;
    while (b.length - at >= 8) {
      const size = b[at + 4] << 8 | b[at + 5];
      const end = at + 8 + size + b[at + 6];
      if (b.length < end) break;
      if (b[at + 1] === 6) {
        this.parts.push(b.subarray(at + 8, at + 8 + size));
      } else if (b[at + 1] === 3) {
        this.rest = null;
        this.finish();
        return;
      }
      at = end;
    }
    this.rest = at < b.length ? b.subarray(at) : null;
  }

  finish() {
    const all = this.parts.length === 1 ? this.parts[0] : Buffer.concat(this.parts);
    const done = this.done;
    this.parts = [];
    this.done = null;
    done(null, all.subarray(all.indexOf(HEAD_END) + 4));
    this.client.release(this);
  }

  fail(err) {
    if (this.net === null) return; // an error, and then a close
    this.net.destroy();
    this.net = this.rest = null;
    this.parts = [];
    const done = this.done;
    this.done = null;
    if (done !== null) {
      done(err);
      this.client.release(this);
    }
  }
}

module.exports = {Client};
