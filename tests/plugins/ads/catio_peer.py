"""Run by a Python that has fastcs-catio: tell as JSON what its client finds. Arguments: host, NetId."""

import asyncio
import contextlib
import io
import json
import sys

from fastcs_catio.client import AsyncioADSClient


def slave(one):
    """Return what CATio holds of a terminal."""
    return {
        "address": int(one.address), "type": one.type, "name": one.name,
        "identity": [int(getattr(one.identity, name)) for name in IDENTITY],
        "state": [int(one.states.ecat_state), int(one.states.link_status)],
        "crc": [int(getattr(one.crcs, f"port_{port}_crc")) for port in "abcd"],
    }  # fmt: skip


IDENTITY = ("vendor_id", "product_code", "revision_number", "serial_number")
FRAMES = ("cyclic_sent", "cyclic_lost", "acyclic_sent", "acyclic_lost")


async def main(host, net_id):
    """Introspect, look again at all states, and tell."""
    client = await AsyncioADSClient.connected_to(host, net_id, 851)
    with contextlib.redirect_stdout(io.StringIO()):
        await client.introspect_io_server()
    await client.check_ads_states()
    devices = list(client._ecdevices.values())
    told = {
        "server": [
            client.ioserver.name, client.ioserver.version,
            int(client.ioserver.build), int(client.ioserver.num_devices),
        ],
        "devices": [
            {
                "id": int(one.id), "type": int(one.type), "name": one.name, "net_id": str(one.netid),
                "identity": [int(getattr(one.identity, name)) for name in IDENTITY],
                "frames": [int(getattr(one.frame_counters, name)) for name in FRAMES],
                "count": int(one.slave_count), "slaves": [slave(each) for each in one.slaves],
                "states": [
                    list(map(int, pair)) for pair in await client.get_device_slaves_states(int(one.id))
                ],
            }
            for one in devices
        ],
    }  # fmt: skip
    await client.close()
    print(json.dumps(told))


asyncio.run(main(*sys.argv[1:]))
