"""The server's side of one connection: CONNECT first, then whatever a client may send.

The rules:

- the first packet is CONNECT and it comes once; anything else closes the connection;
- a client that the broker does not want gets a CONNACK that says why, in its own version's form;
- a will is published unless the client said DISCONNECT;
- QoS 2 is received exactly once: the message goes on when PUBLISH comes first, and its identifier
  is remembered until PUBREL.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping

import msgspec

from flowbus import Secret
from flowbus_mqtt.broker.routing import Routing
from flowbus_mqtt.broker.session import Link, Session
from flowbus_mqtt.protocol import server
from flowbus_mqtt.protocol.encoder import encode_ack
from flowbus_mqtt.protocol.errors import PROTOCOL_ERROR, ProtocolError
from flowbus_mqtt.protocol.packets import Kind, Packet, Puback, Publish

_PUBACK = int(Kind.PUBACK)


class RefusedError(Exception):
    """A client was not let in; ``answer`` is the CONNACK for it."""

    def __init__(self, text: str, answer: bytes) -> None:
        super().__init__(text)
        self.answer = answer


class LeftError(Exception):
    """The client said DISCONNECT."""


class Door(msgspec.Struct, frozen=True):
    """Who may come in."""

    users: Mapping[str, Secret] | None
    full: Callable[[str], bool]
    """Tells whether there is no room for a client with this id."""
    new_id: Callable[[], str]


class Peer:
    """What a connection has agreed with its client so far."""

    def __init__(self, link: Link, routing: Routing, door: Door) -> None:
        self.session: Session | None = None
        self.will: server.Will | None = None
        self.keepalive = 0
        self._link = link
        self._routing = routing
        self._door = door

    @property
    def name(self) -> str:
        """The client id, once it is known."""
        return "" if self.session is None else self.session.client_id

    def handle(self, event: Publish | Puback | Packet | ProtocolError) -> Publish | None:
        """Act on one event; a message for the flow to see is returned.

        Raises ProtocolError, RefusedError and LeftError, all of which end the connection.
        """
        if isinstance(event, ProtocolError):
            raise event
        session = self.session
        if session is None:
            self._first(event)
            return None
        if type(event) is Publish:
            return self._publish(session, event)
        if type(event) is Puback:
            session.acknowledged(event.packet_id)
        elif type(event) is Packet:
            self._control(session, server.decode_client_packet(event))
        return None

    def end(self) -> None:
        """Note that the connection is gone."""
        if self.session is not None:
            self._routing.disconnect(self.session, self._link, self.will)

    # ---- CONNECT

    def _first(self, event: Publish | Puback | Packet) -> None:
        if type(event) is not Packet or event.kind != Kind.CONNECT:
            raise ProtocolError("the first packet is not CONNECT", PROTOCOL_ERROR)
        connect = server.decode_client_packet(event)
        if not isinstance(connect, server.Connect):
            raise TypeError("a CONNECT packet decodes to Connect")
        connect = self._admit(connect)
        self.will = connect.will
        self.keepalive = connect.keepalive
        self.session, present = self._routing.connect(connect, self._link)
        self._link.send(server.encode_connack(server.ACCEPTED, present))
        self.session.open(self._link)

    def _admit(self, connect: server.Connect) -> server.Connect:
        if connect.level == 5:
            raise RefusedError("it speaks MQTT 5.0", server.CONNACK_V5_UNSUPPORTED)
        if connect.level != 4:
            raise _refused(f"it asks for protocol level {connect.level}", server.REFUSED_VERSION)
        if not self._knows(connect):
            who = "without a user name" if connect.username is None else f"as {connect.username!r}"
            code = server.REFUSED_NOT_AUTHORIZED if connect.username is None else server.REFUSED_CREDENTIALS
            raise _refused(f"it came {who}, with wrong credentials", code)
        if not connect.client_id:
            if not connect.clean_session:
                text = "it wants a lasting session without a client id"
                raise _refused(text, server.REFUSED_CLIENT_ID)
            connect = msgspec.structs.replace(connect, client_id=self._door.new_id())
        if self._door.full(connect.client_id):
            raise _refused("max_clients are connected", server.REFUSED_UNAVAILABLE)
        return connect

    def _knows(self, connect: server.Connect) -> bool:
        users = self._door.users
        if users is None:
            return True
        secret = users.get(connect.username or "")
        given = connect.password or b""
        wanted = secret.reveal().encode() if secret is not None else b""
        return hmac.compare_digest(given, wanted) and secret is not None

    # ---- all that follows

    def _publish(self, session: Session, publish: Publish) -> Publish | None:
        if publish.qos == 2:
            again = publish.packet_id in session.received
            session.received.add(publish.packet_id)
            self._link.send(encode_ack(Kind.PUBREC, publish.packet_id))
            if again:
                return None
        self._routing.publish(publish)
        return publish

    def accepted(self, publish: Publish) -> None:
        """Tell the client that a message was taken: the flow has what it is to see of it."""
        if publish.qos == 1:
            self._link.send(encode_ack(_PUBACK, publish.packet_id))

    def _control(self, session: Session, packet: server.ClientPacket) -> None:
        if isinstance(packet, server.Pingreq):
            self._link.send(server.PINGRESP)
        elif isinstance(packet, server.Subscribe):
            codes = self._routing.subscribe(session, packet.filters)
            self._link.send(server.encode_suback(packet.packet_id, codes))
            self._routing.send_retained(session, packet.filters)
        elif isinstance(packet, server.Unsubscribe):
            self._routing.unsubscribe(session, packet.filters)
            self._link.send(server.encode_unsuback(packet.packet_id))
        elif isinstance(packet, server.Acknowledge):
            if packet.kind == Kind.PUBREL:
                session.received.discard(packet.packet_id)
                self._link.send(encode_ack(Kind.PUBCOMP, packet.packet_id))
        elif isinstance(packet, server.Disconnect):
            self.will = None
            raise LeftError
        else:
            raise ProtocolError("CONNECT comes twice", PROTOCOL_ERROR)


def _refused(text: str, code: int) -> RefusedError:
    return RefusedError(text, server.encode_connack(code))
