'use strict';
// A gateway of Node's ws and the FastCGI client beside this file:
// node server.js HOST:PORT PHP-SOCKET SCRIPT CONNECTIONS

const {WebSocketServer} = require('ws');
const {Client} = require('./fastcgi.js');

const [listen, socket, script, conns] = process.argv.slice(2);
const [host, port] = listen.split(':');
const php = new Client(socket, script, Number(conns));
const server = new WebSocketServer({host, port: Number(port), backlog: 4096});

server.on('connection', (ws) => {
  ws.on('error', () => {});
  ws.on('message', (message, binary) => {
    php.do(message, (err, answer) => {
      if (err) {
        console.error(err.message);
        ws.close(1011);
      } else {
        ws.send(answer, {binary});
      }
    });
  });
});
