"""A PLC by ads-async, a library that flowbus has nothing of: ``python ads_async_plc.py PORT``.

It answers names by handle, single requests and sum reads. It has no symbol version, no other sums
and no upload, and refuses them as it likes: by 0x700 or 0x704. The samples of notifications, which
it takes in and never sends, are sent here, in its own frames.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from ads_async import constants, structs, symbols
from ads_async.asyncio import server as serving

NET_ID = "5.61.0.1.1.1"
TYPE = constants.AdsDataType
SYMBOLS = (
    ("MAIN.nCount", TYPE.INT32, "DINT", 1),
    ("MAIN.rSpeed", TYPE.REAL64, "LREAL", 1),
    ("MAIN.bOn", TYPE.BIT, "BOOL", 1),
    ("MAIN.sName", TYPE.STRING, "STRING(20)", 21),
    ("MAIN.aPos", TYPE.INT16, "ARRAY [1..3] OF INT", 3),
)
FILETIME_OF_1970 = 116_444_736_000_000_000


def database() -> symbols.Database:
    found = symbols.SimpleDatabase(memory_size=4096)
    area, offset = found.data_area, 1000
    for name, kind, type_name, count in SYMBOLS:
        symbol = symbols.Symbol(name, offset, kind, count, area, type_name=type_name)
        area.symbols[name] = symbol
        offset += symbol.byte_size
    return found


class Notifying(serving.AsyncioServerConnection):
    """Sends a sample of each notification when it is added, and when its symbol has another value."""

    watching: asyncio.Task[None] | None = None

    async def _handle_command(self, header: structs.AoEHeader, item: Any) -> None:
        await super()._handle_command(header, item)
        is_add = header.command_id == constants.AdsCommandId.ADD_DEVICE_NOTIFICATION
        if is_add and self.watching is None:
            self.watching = asyncio.create_task(self._watch(header))

    async def _watch(self, header: structs.AoEHeader) -> None:
        circuit = self.connection.get_circuit(header.source.net_id)
        sent: dict[int, bytes] = {}
        while not self.writer.is_closing():
            for handle, note in list(circuit.handle_to_notification.items()):
                value = bytes(note.symbol.read())
                if sent.get(handle) != value:
                    sent[handle] = value
                    self.writer.write(sample(header, handle, value))
            await asyncio.sleep(0.005)


def sample(header: structs.AoEHeader, handle: int, value: bytes) -> bytes:
    stamp = structs.AdsNotificationStampHeader()
    stamp._timestamp, stamp.num_samples = FILETIME_OF_1970 + time.time_ns() // 100, 1
    one = structs.AdsNotificationSample()
    one.notification_handle, one.sample_size = handle, len(value)
    body = bytes(stamp) + bytes(one) + value
    stream = structs.AdsNotificationStream()
    stream.length, stream.num_stamps = len(body) + 4, 1
    data = bytes(stream) + body
    aoe = structs.AoEHeader.create_request(
        target=header.source, source=header.target, invoke_id=0, length=len(data),
        command_id=constants.AdsCommandId.DEVICE_NOTIFICATION,
    )  # fmt: skip
    return bytes(structs.AmsTcpHeader(len(bytes(aoe)) + len(data))) + bytes(aoe) + data


async def main(port: int) -> None:
    serving.AsyncioServerConnection = Notifying
    server = serving.AsyncioServer(database(), port=port, net_id=NET_ID, hosts=["127.0.0.1"])
    await server.start()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
