// What a page and Node.js have in common: values that travel as JSON, and things that happen to a socket.
"use strict";

// Bytes travel as {"hex": "00ff"}.
const hexOf = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const bytesOf = (hex) => Uint8Array.from(hex.match(/../g) || [], (pair) => parseInt(pair, 16));
const revived = (_, value) => (value && typeof value.hex === "string" ? bytesOf(value.hex) : value);

// Keeps what happens until somebody asks for it, in its order.
class Recorder {
  constructor() {
    this.happened = [];
    this.asked = [];
  }

  note(...event) {
    const answer = this.asked.shift();
    if (answer) answer(event);
    else this.happened.push(event);
  }

  next() {
    if (this.happened.length) return this.happened.shift();
    return new Promise((answer) => this.asked.push(answer));
  }
}
