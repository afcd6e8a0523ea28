"""flowbus: a headless flow runtime for the edge.

Everything that a plugin author needs is here; nothing below these names is API.
"""

from flowbus.config import ByteSize, Config, FilePath, Ref
from flowbus.connections import ConnectionIO, connection
from flowbus.custody import Delivery
from flowbus.errors import ConfigError, Lost, Rejected
from flowbus.faults import Fault
from flowbus.hookspecs import hookimpl
from flowbus.jwt import JWT
from flowbus.message import Message, Quality
from flowbus.node import io_node, transform
from flowbus.nodeio import NodeIO
from flowbus.receipt import End, Outcome
from flowbus.secrets import Secret
from flowbus.status import State
from flowbus.template import Template
from flowbus.tls import TLS

__all__ = [
    "JWT", "TLS", "ByteSize", "Config", "ConfigError", "ConnectionIO", "Delivery", "End", "Fault",
    "FilePath", "Lost", "Message", "NodeIO", "Outcome", "Quality", "Ref", "Rejected", "Secret", "State",
    "Template", "connection", "hookimpl", "io_node", "transform",
]  # fmt: skip
