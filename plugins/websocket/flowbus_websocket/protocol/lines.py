"""Lines out of a stream of text or bytes: CR LF and LF both end one."""

from __future__ import annotations

from typing import AnyStr, NamedTuple


class Line(NamedTuple):
    """A line without its end; ``eol`` is False for a piece whose line goes on, or broke off."""

    content: str | bytes
    eol: bool


class LineCutter:
    """Cuts what it is fed into lines of at most ``max_line`` characters, or bytes where it is bytes.

    It does not matter in which pieces the stream comes. A change from text to bytes breaks a line
    off.
    """

    def __init__(self, max_line: int) -> None:
        self.max_line = max_line
        # What has no end yet; at most one of them is not empty.
        self._text = ""
        self._binary = b""

    def feed(self, data: str | bytes) -> list[Line]:
        """Take in the next piece and return the lines, and pieces of lines, that are complete."""
        if isinstance(data, str):
            lines = self.end() if self._binary else []
            more, self._text = _cut(self._text + data, "\n", "\r", self.max_line)
        else:
            lines = self.end() if self._text else []
            more, self._binary = _cut(self._binary + data, b"\n", b"\r", self.max_line)
        return lines + more

    def end(self) -> list[Line]:
        """Return what has no end, if there is something: the stream ends."""
        rest = self._text or self._binary
        self._text, self._binary = "", b""
        return [Line(rest, eol=False)] if rest else []


def _cut(data: AnyStr, lf: AnyStr, cr: AnyStr, most: int) -> tuple[list[Line], AnyStr]:
    """Return the lines in ``data`` and what is behind the last one."""
    lines: list[Line] = []
    whole = data.split(lf)
    rest = whole.pop()
    for line in whole:
        content = line[:-1] if line.endswith(cr) else line
        last = max(0, (len(content) - 1) // most * most)
        lines += [Line(content[at : at + most], eol=False) for at in range(0, last, most)]
        lines.append(Line(content[last:], eol=True))
    # What is too long already is cut; but a CR just behind the limit may be half of an end.
    size = len(rest) - rest.endswith(cr)
    cut = max(0, (size - 1) // most * most) if len(rest) > most else 0
    lines += [Line(rest[at : at + most], eol=False) for at in range(0, cut, most)]
    return lines, rest[cut:]
