// In a page, behind recorder.js: the browser's own WebSocket.
"use strict";

class Peer extends Recorder {
  constructor(url, protocols, binaryType = "arraybuffer") {
    super();
    this.socket = protocols === null ? new WebSocket(url) : new WebSocket(url, protocols);
    this.socket.binaryType = binaryType;
    this.socket.onopen = () => this.note("open", this.socket.protocol, this.socket.extensions);
    this.socket.onmessage = ({ data }) => this.noteMessage(data);
    this.socket.onerror = () => this.note("error");
    this.socket.onclose = ({ code, reason, wasClean }) => this.note("close", code, reason, wasClean);
  }

  noteMessage(data) {
    if (typeof data === "string") this.note("text", data);
    else if (data instanceof Blob) data.arrayBuffer().then((all) => this.noteBytes("blob", all));
    else this.noteBytes("arraybuffer", data);
  }

  noteBytes(kind, buffer) {
    this.note(kind, { hex: hexOf(new Uint8Array(buffer)) });
  }
}

const peers = [];
