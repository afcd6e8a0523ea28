// What the client node-ads makes of a PLC: one JSON object a line, {"step": ..., "value": ...}.
// Usage: node nodeads.js NET_ID HOST, with node-ads on NODE_PATH.
"use strict";
const ads = require("node-ads");

const [netId, host] = process.argv.slice(2);
const tell = (step, value) => console.log(JSON.stringify({ step, value }));
const count = { symname: "MAIN.nCount", bytelength: ads.DINT };
const version = { indexGroup: ads.ADSIGRP.SYM_VERSION, indexOffset: 0, bytelength: ads.BYTE };

async function run(client) {
  const ask = (name, ...rest) =>
    new Promise((resolve) => client[name](...rest, (error, value) => resolve(error ? String(error) : value)));
  tell("info", [await ask("readDeviceInfo"), await ask("readState")]);
  tell("missing", await ask("read", { symname: "MAIN.none", bytelength: ads.BOOL }));
  const many = await ask("multiRead", [
    { ...count },
    { symname: "MAIN.stAxis.sName", bytelength: ads.string(10) },
    { symname: "MAIN.none", bytelength: ads.BOOL },
  ]);
  tell(
    "many",
    many.map((handle) => (handle.err ? String(handle.err) : handle.value)),
  );
  tell("written", (await ask("write", { ...count, value: -9 })) ?? null);
  tell("read", (await ask("read", { ...count })).value);
  const symbols = await new Promise((resolve) => client.getSymbols((error, found) => resolve(error || found), true));
  tell("symbols", Object.fromEntries(symbols.map((symbol) => [symbol.name, symbol.type])));
  const types = await ask("getDatatyps");
  const axis = types.find((type) => type.name === "ST_Axis");
  tell("type", [axis.size, axis.datatyps.map((member) => [member.name, member.offs])]);

  const seen = [];
  const enough = new Promise((resolve) => {
    client.on("notification", (handle) => {
      seen.push([handle.symname || "version", handle.value]);
      if (seen.length === 2) client.write({ ...count, value: 77 }, () => {});
      if (seen.length === 3) resolve();
    });
  });
  client.notify({ ...count, cycleTime: 10 });
  client.notify({ ...version, cycleTime: 10 });
  await enough;
  tell("seen", seen);
  client.end(() => process.exit(0));
}

const client = ads.connect(
  { host, amsNetIdTarget: netId, amsNetIdSource: "127.0.0.9.1.1", amsPortTarget: 851, timeout: 3000 },
  function () {
    run(this);
  },
);
client.on("error", (error) => {
  tell("error", String(error));
  process.exit(1);
});
