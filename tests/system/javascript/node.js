// In Node.js, behind recorder.js: the package ws as client and as server. Each line of stdin is {code, given}: the body
// of an async function and its arguments by name; it is answered with a line of JSON.
"use strict";
const { WebSocket, WebSocketServer } = require("ws");
const { createServer } = require("https");
const { setTimeout: sleep } = require("timers/promises");

class Peer extends Recorder {
  constructor(socket) {
    super();
    this.socket = socket;
    socket.on("open", () => this.note("open", socket.protocol, socket.extensions));
    socket.on("message", (data, isBinary) => this.note(...described(data, isBinary)));
    socket.on("ping", (data) => this.note("ping", data.toString()));
    socket.on("pong", (data) => this.note("pong", data.toString()));
    socket.on("unexpected-response", (_, response) => this.note("refused", response.statusCode));
    socket.on("error", (error) => this.note("error", error.code, error.message));
    socket.on("close", (code, reason) => this.note("close", code, reason.toString()));
  }

  // Resolves once what is sent has been handed to the system.
  send(data, options = {}) {
    return new Promise((done, failed) =>
      this.socket.send(data, options, (error) => (error ? failed(error) : done())));
  }
}

const described = (data, isBinary) =>
  isBinary ? ["binary", { hex: hexOf(data) }] : ["text", data.toString()];

const connect = (url, protocols, options) => new Peer(new WebSocket(url, protocols, options));

// Serves on a free port; each client is noted in `clients` as a Peer, with its request.
class Server {
  constructor(options, secure) {
    this.clients = new Recorder();
    const own = secure ? { server: createServer(secure) } : { host: "127.0.0.1", port: 0 };
    const server = new WebSocketServer({ ...own, ...options });
    server.on("wsClientError", (error) => this.clients.note("error", error.message));
    server.on("connection", (socket, request) => this.clients.note(new Peer(socket), request));
    if (secure) own.server.on("tlsClientError", (error) => this.clients.note("tls", error.code));
    if (secure) own.server.listen(0, "127.0.0.1");
    this.listening = new Promise((ready) => server.on("listening", () =>
      ready((secure ? own.server : server).address().port)));
  }
}

const AsyncFunction = (async () => {}).constructor;
const kept = {}; // what a test keeps between its calls

async function answer(line) {
  const { code, given } = JSON.parse(line, revived);
  const known = { kept, connect, Server, Peer, sleep, bytesOf, hexOf, WebSocket, ...given };
  try {
    const value = await new AsyncFunction(...Object.keys(known), code)(...Object.values(known));
    process.stdout.write(JSON.stringify({ value: value === undefined ? null : value }) + "\n");
  } catch (error) {
    process.stdout.write(JSON.stringify({ error: String(error.stack) }) + "\n");
  }
}

require("readline").createInterface({ input: process.stdin }).on("line", answer);
