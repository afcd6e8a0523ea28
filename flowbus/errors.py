"""The failures that flowbus gives a meaning to. Any other exception is a bug and is treated as one."""

from __future__ import annotations

from flowbus.faults import CONFIG, LOST, REJECTED, Fault


class ConfigError(Exception):
    """The flow file or its surroundings are wrong; restarting does not help until someone mends them.

    ``option`` is the option at fault, seen from the config that raises it (``key``, ``jwt.key``), so
    that ``flowbus check`` can point at it.
    """

    def __init__(self, text: str = "", *, option: str = "", fault: Fault = CONFIG) -> None:
        self.text = text
        self.option = option
        self.fault = fault
        super().__init__(f"{option}: {text}" if option else text)


class FaultError(Exception):
    """What :class:`Rejected` and :class:`Lost` share: a registry entry and a text about this case."""

    def __init__(self, reason: Fault | str, text: str = "") -> None:
        """``reason`` is a registry entry; a plain text stands for the default entry of the class."""
        fault = self._default() if isinstance(reason, str) else reason
        self.fault = fault
        self.text = reason if isinstance(reason, str) else text or fault.cause
        super().__init__(f"{fault.code}: {self.text}")

    @staticmethod
    def _default() -> Fault:
        return REJECTED


class Rejected(FaultError):
    """This message cannot be processed; the node itself is fine.

    A fault marked temporary makes it a lost peer instead: the message is tried again.
    """


class Lost(FaultError, OSError):
    """The peer is gone or cannot be reached: the supervisor restarts with backoff, nothing is lost."""

    @staticmethod
    def _default() -> Fault:
        return LOST

    def __str__(self) -> str:  # OSError would print its errno tuple
        return f"{self.fault.code}: {self.text}"
