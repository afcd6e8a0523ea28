"""The fault registry of MQTT: every reason code that means failure, and what befalls a connection."""

from __future__ import annotations

from typing import Final

from flowbus import TLS, Fault

_TAKEN_OVER = "Give every client its own client_id: two with the same one throw each other out."
_LIMIT = "Ask for less, or raise the limit in the broker's configuration."
_REPORT = "Report it with the text beside this code and the broker's name and version."
_RIGHTS = "Grant this user or client id the right in the broker's access list; its log names the topic."
_LATER = "Wait; flowbus tries again by itself. If it lasts, look into the broker's log."

# number, name, cause, next step (MQTT 5.0, section 2.4)
_REASONS: Final[tuple[tuple[int, str, str, str], ...]] = (
    (0x80, "Unspecified error", "The broker refused without saying why.",
     "Look into the broker's log at this time."),
    (0x81, "Malformed packet", "A packet did not have the form that MQTT prescribes.", _REPORT),
    (0x82, "Protocol error", "A packet came at the wrong time or contradicts itself.", _REPORT),
    (0x83, "Implementation specific error", "The broker cannot process a valid packet.",
     "Look into the broker's log; it may forbid this topic, payload or session by its own rules."),
    (0x84, "Unsupported protocol version", "The broker does not speak the MQTT version asked for.",
     'Set "version" of the connection to "3.1.1" (or "5"), whichever the broker speaks.'),
    (0x85, "Client identifier not valid", "The broker does not accept the client id.",
     "Set client_id to one that the broker allows; the receiving session adds -in to it."),
    (0x86, "Bad user name or password", "The broker does not accept user name and password.",
     "Check username and password of the connection against the broker's users."),
    (0x87, "Not authorized", "The broker does not allow this client what it wants to do.", _RIGHTS),
    (0x88, "Server unavailable", "The broker runs but does not serve clients now.", _LATER),
    (0x89, "Server busy", "The broker has too much to do.", _LATER),
    (0x8A, "Banned", "The broker has banned this client.",
     "Ask the broker's administrator to lift the ban on this client id, user or address."),
    (0x8B, "Server shutting down", "The broker is going down.", _LATER),
    (0x8C, "Bad authentication method", "The broker does not know the authentication method.",
     "Use user name and password, or a certificate, as the broker is configured for."),
    (0x8D, "Keep alive timeout", "The broker heard nothing from this client for too long.",
     "Check the network; raise keepalive on a link that stalls."),
    (0x8E, "Session taken over", "Another client connected with the same client id.", _TAKEN_OVER),
    (0x8F, "Topic filter invalid", "The broker does not accept a topic filter.",
     "Correct the filter that the text names: + and # fill whole levels, # is the last one."),
    (0x90, "Topic name invalid", "The broker does not accept the topic.",
     "Correct the topic: the broker may forbid this name although MQTT allows it."),
    (0x91, "Packet identifier in use", "Client and broker disagree about the session.", _REPORT),
    (0x92, "Packet identifier not found", "Client and broker disagree about the session.", _REPORT),
    (0x93, "Receive maximum exceeded", "More messages were in flight than agreed.", _REPORT),
    (0x94, "Topic alias invalid", "A topic alias was used that was not agreed.", _REPORT),
    (0x95, "Packet too large", "A message is larger than the receiver accepts.",
     "Send smaller messages, or raise the packet limit of the broker (max_packet_size for input)."),
    (0x96, "Message rate too high", "The broker is sent messages faster than it allows.",
     "Send less often, or raise the broker's rate limit."),
    (0x97, "Quota exceeded", "A limit that the broker's administrator set was reached.", _LIMIT),
    (0x98, "Administrative action", "The broker's administrator closed the connection.",
     "Ask the administrator why; flowbus connects again by itself."),
    (0x99, "Payload format invalid", "The payload is not what its format says.",
     "Correct the payload, or payload_format where flowbus reads it."),
    (0x9A, "Retain not supported", "The broker keeps no retained messages.",
     'Set "retain" to false, or allow retained messages in the broker.'),
    (0x9B, "QoS not supported", "The broker does not serve the QoS asked for.",
     'Lower "qos" to what the broker serves.'),
    (0x9C, "Use another server", "The broker sends this client to another one for now.",
     "Set url to the broker that the text names."),
    (0x9D, "Server moved", "The broker has moved for good.", "Set url to the broker's new address."),
    (0x9E, "Shared subscription not supported", "The broker knows no shared subscriptions.",
     "Leave $share/<group>/ out of topics."),
    (0x9F, "Connection rate exceeded", "The broker gets more new connections than it allows.", _LATER),
    (0xA0, "Maximum connect time", "The broker ends connections after a fixed time.",
     "Nothing is to be done; flowbus connects again by itself."),
    (0xA1, "Subscription identifiers not supported", "The broker knows no subscription identifiers.",
     _REPORT),
    (0xA2, "Wildcard subscription not supported", "The broker does not allow + and # in filters.",
     "Name each topic in topics."),
)  # fmt: skip

# What 3.1.1 returns in CONNACK (section 3.2.2.3, table 3.1) and the reason code of the same meaning.
_RETURN_CODES: Final = {0x84: 1, 0x85: 2, 0x88: 3, 0x86: 4, 0x87: 5}


def _reason(number: int, name: str, cause: str, next_step: str) -> Fault:
    code = _RETURN_CODES.get(number)
    aliases = () if code is None else (f"mqtt.0x{code:02x}", f"CONNACK return code {code}")
    return Fault(f"mqtt.0x{number:02x}", name, cause, next_step, number, False, aliases)


_BY_NUMBER: Final = {row[0]: _reason(*row) for row in _REASONS}

CONNECTION_REFUSED = Fault(
    "mqtt.connection_refused", "connection refused", "Nothing listens on the broker's port.",
    "Start the broker and open its port in the firewall; check host and port in url.",
)  # fmt: skip
CONNECTION_LOST = Fault(
    "mqtt.connection_lost", "connection lost", "The connection to the broker broke.",
    "Check the network and the broker's log; flowbus connects again by itself.",
)  # fmt: skip
CONNECT_TIMEOUT = Fault(
    "mqtt.connect_timeout", "no connection in time",
    "The broker did not complete the connection within connect_timeout.",
    "Check the address and any firewall on the way; mqtts:// needs the broker's TLS port.",
)  # fmt: skip
KEEPALIVE_TIMEOUT = Fault(
    "mqtt.keepalive_timeout", "broker is silent",
    "The connection is open but the broker has not answered for longer than keepalive.",
    "Check whether the broker hangs or the network drops packets; flowbus connects again by itself.",
)  # fmt: skip
HOST_NOT_FOUND = Fault(
    "mqtt.host_not_found", "host not found", "The name of the broker could not be resolved.",
    "Check the host in url and the name server, or use the IP address.",
)  # fmt: skip
HOST_UNREACHABLE = Fault(
    "mqtt.host_unreachable", "host unreachable", "There is no network path to the broker.",
    "Check the cable, the network settings of this host and the address of the broker.",
)  # fmt: skip
CANNOT_CONNECT = Fault(
    "mqtt.cannot_connect", "cannot connect", "The connection to the broker could not be made.",
    "Read the text beside this code; it is the operating system's reason.",
)  # fmt: skip
CLOSED_AT_ONCE = Fault(
    "mqtt.closed_at_once", "closed without an answer",
    "The broker closed the connection without answering CONNECT.",
    "Check that url names an MQTT port, with mqtts:// where the broker wants TLS; see its log.",
)  # fmt: skip
NOT_MQTT = Fault(
    "mqtt.bad_packet", "not understood", "The broker sent bytes that break the protocol.",
    "Check that url names an MQTT port; if it does, report the text beside this code.",
)  # fmt: skip
BAD_TOPIC = Fault(
    "mqtt.bad_topic", "topic not allowed", "The message has no topic, or one that MQTT forbids.",
    "Correct topic of the mqtt-out node: not empty, no + and #, no NUL, 65535 bytes at most.",
)  # fmt: skip
BAD_PAYLOAD = Fault(
    "mqtt.bad_payload", "payload not usable", "The payload cannot be converted as the node needs it.",
    "Correct the sender, or choose another payload_format; mqtt-out takes bytes, text and JSON values.",
)  # fmt: skip
NOBODY_WANTS = Fault(
    "mqtt.unwanted", "message for no node",
    "The broker delivered a message that no mqtt-in node of this connection subscribes to.",
    "An older subscription of the session is left over: set clean_start to true once.",
)  # fmt: skip
BAD_CLIENT = Fault(
    "mqtt.bad_client", "client broke the protocol", "A client of mqtt-broker sent what is not MQTT 3.1.1.",
    "Check what connects to this port; the broker closed the connection.",
)  # fmt: skip
CLIENT_REFUSED = Fault(
    "mqtt.client_refused", "client refused", "mqtt-broker did not let a client in.",
    "The text says why: credentials, protocol version (3.1.1 only), client id or max_clients.",
)  # fmt: skip
CLIENT_SILENT = Fault(
    "mqtt.client_silent", "client is silent", "A client of mqtt-broker missed its keep alive and was closed.",
    "Check that client and its network.",
)  # fmt: skip
QUEUE_FULL = Fault(
    "mqtt.queue_full", "client too slow", "Messages for a slow or absent client of mqtt-broker were dropped.",
    "Speed up the client, raise max_queued, or let it subscribe to less.",
)  # fmt: skip
ADDRESS_IN_USE = Fault(
    "mqtt.address_in_use", "address in use", "Another program listens on the address of mqtt-broker.",
    "Choose another port (0 takes a free one), or stop the other program.",
)  # fmt: skip

FAULTS: Final = (
    *_BY_NUMBER.values(),
    CONNECTION_REFUSED, CONNECTION_LOST, CONNECT_TIMEOUT, KEEPALIVE_TIMEOUT, HOST_NOT_FOUND,
    HOST_UNREACHABLE, CANNOT_CONNECT, CLOSED_AT_ONCE, NOT_MQTT, BAD_TOPIC, BAD_PAYLOAD, NOBODY_WANTS,
    BAD_CLIENT, CLIENT_REFUSED, CLIENT_SILENT, QUEUE_FULL, ADDRESS_IN_USE,
    *TLS.faults("mqtt"),
)  # fmt: skip


def fault_of(reason: int) -> Fault:
    """Return the entry of a 5.0 reason code; an unknown one gets an entry that says so."""
    known = _BY_NUMBER.get(reason)
    if known is not None:
        return known
    return Fault(
        f"mqtt.0x{reason:02x}", f"reason code 0x{reason:02x}",
        "The broker gave a reason code that MQTT 5.0 does not define.",
        "Look it up in the broker's documentation, or in its log.",
        reason,
    )  # fmt: skip
