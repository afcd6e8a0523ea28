// What the client ads-client makes of a PLC: one JSON object a line, {"step": ..., "value": ...}.
// Usage: node ads.js NET_ID HOST, with ads-client on NODE_PATH.
"use strict";
const { Client } = require("ads-client");

const [netId, host] = process.argv.slice(2);
const client = new Client({
  targetAmsNetId: netId,
  targetAdsPort: 851,
  routerAddress: host,
  routerTcpPort: 48898,
  localAmsNetId: "127.0.0.9.1.1",
  localAdsPort: 32750,
  readAndCacheSymbols: true,
  readAndCacheDataTypes: true,
  timeoutDelay: 3000,
});
const tell = (step, value) => console.log(JSON.stringify({ step, value }));
client.on("warning", (text) => tell("warning", text));

async function run() {
  await client.connect();
  const axis = "MAIN.stAxis";
  tell("first", (await client.readValue(axis)).value);
  await client.writeValue(axis, {
    bOn: true,
    rSpeed: 2.5,
    eMode: "Run",
    sName: "Füße",
    wName: "Ωx",
    aPos: [
      [1, 2],
      [3, 4],
      [5, 6],
    ],
    stIn: { nId: 9, tCycle: 1000 },
  });
  tell("written", (await client.readValue(axis)).value);
  await client.writeValue(axis, { rSpeed: 7 }, true);
  tell("member", (await client.readValue(axis + ".rSpeed")).value);
  await client.writeValue("MAIN.aAxes[2].eMode", "Fault");
  tell("element", (await client.readValue("MAIN.aAxes[2]")).value.eMode);
  tell("packed", (await client.readValue("MAIN.stPacked")).value);
  tell("symbols", Object.keys(await client.getSymbols()));
  tell("attributes", [
    (await client.getSymbol("MAIN.nCount")).attributes,
    (await client.getDataType("ST_Axis")).attributes,
  ]);
  tell(
    "enum",
    (await client.getDataType("E_Mode")).enumInfos.map((entry) => entry.name),
  );
  tell("call", await client.invokeRpcMethod("MAIN.fbAdd", "Add", { a: 1, b: -2 }));
  const seen = [];
  const enough = new Promise((resolve) => {
    client.subscribe({
      target: axis,
      cycleTime: 5,
      callback: (data) => {
        seen.push(data.value.rSpeed);
        if (data.value.rSpeed === 8) resolve();
        if (seen.length === 1) client.writeValue(axis, { rSpeed: 8 }, true);
      },
    });
  });
  await enough;
  tell("subscribed", seen);
  tell("info", [await client.readDeviceInfo(), await client.readState()]);
  await client.disconnect();
}

run().then(
  () => process.exit(0),
  (error) => {
    tell("error", [error.message, error.trace]);
    process.exit(1);
  },
);
