"""A server of the websockets library in a process of its own: records what comes, checks tokens.

Usage: recording_server.py PORT RECORD TOKENS [JWT_KEY]. Each message is a line of the file RECORD,
written before a ping behind it is answered: the library answers pings as they come, while messages
wait for the program, so one that is killed has not seen all that was answered for. TOKENS is a file with the one bearer token that is let in; "-"
lets everybody in. With JWT_KEY, a file with a public key, the token must be a fresh JWT of its own,
which PyJWT verifies.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any, TextIO

import jwt
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode

PORT, RECORD, TOKENS, *KEY = sys.argv[1:]
seen: set[str] = set()


def check(connection: ServerConnection, request: Any) -> Any:
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if KEY:
        try:
            claims = jwt.decode(token, Path(KEY[0]).read_text(), ["ES256"], audience="cloud")
        except jwt.InvalidTokenError as error:
            return connection.respond(401, f"{error}\n")
        if claims["jti"] in seen:
            return connection.respond(403, "this token was here before\n")
        seen.add(claims["jti"])
    elif TOKENS != "-" and token != Path(TOKENS).read_text().strip():
        return connection.respond(401, "another token is wanted\n")
    return None


def recording(record: TextIO) -> type[ServerConnection]:
    class Recording(ServerConnection):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            received = self.protocol.events_received

            def events_received() -> list[Any]:
                events = received()
                for event in events:
                    if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                        record.write(f"{bytes(event.data).decode()}\n")
                return events

            self.protocol.events_received = events_received  # called before anything is answered

    return Recording


async def main(record: TextIO) -> None:
    async def keep(connection: ServerConnection) -> None:
        async for message in connection:
            if message == "hang up":
                connection.transport.abort()

    kind = recording(record)
    async with serve(
        keep, "127.0.0.1", int(PORT), process_request=check, create_connection=kind
    ) as server:
        await server.serve_forever()


with Path(RECORD).open("a", buffering=1) as file:
    asyncio.run(main(file))
