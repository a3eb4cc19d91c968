"""Find where an HTTP/1.1 response ends in the bytes of a connection."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_HEAD = 100 * 1024  # what httpcore takes
_PIECE = 1024  # of what may hold the end of a head, and is copied
_HEAD = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9])(?: [^\r\n]*)?(?:\r\n[^\s:]+:[^\r\n]*)*")
_LENGTHS = re.compile(rb"(?i)\r\ncontent-length:([^\r\n]*)")
_CODINGS = re.compile(rb"(?i)\r\ntransfer-encoding:([^\r\n]*)")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[^\r\n]*)?")
_SWITCHING, _OK = 101, 200
_WITHOUT_BODY = (204, 304)


class ResponseFraming:
    """Counts the bytes of one response after another."""

    # What comes after a response must never be taken for the next one: a text would get another's
    # vector. The rules are RFC 9112's at their strictest, without an allowance for what parsers
    # read differently. Where the end is in doubt it is never found, which makes the response the
    # last one on its connection.

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """A request is sent: the next byte is the first of its response."""
        self.is_over = False  # once it is complete: what comes then is of no request
        self._kept = bytearray()  # of a head or a line that is not complete yet
        self._end = b"\r\n\r\n"  # of it
        self._left = 0  # bytes of a body, or of a chunk and the line break behind it
        self._is_chunked = False
        self._next_part: Callable[[bytes], None] = self._head

    def take(self, data: bytes) -> int:
        """How many of these bytes belong to the response."""
        at = 0
        while at < len(data) and not self.is_over:
            if self._next_part == self._doubtful:
                return len(data)
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                self.is_over = not (self._left or self._is_chunked)
                continue
            begun = len(self._kept)
            self._kept += data[at : at + _PIECE]
            end = self._kept.find(self._end, max(0, begun - len(self._end)), _LONGEST_HEAD)
            if end >= 0:
                at += end + len(self._end) - begun
                part, self._kept = bytes(self._kept[:end]), bytearray()
                self._next_part(part)
            else:
                at += len(self._kept) - begun
                if len(self._kept) >= _LONGEST_HEAD:
                    self._next_part = self._doubtful
        return at

    def _head(self, head: bytes) -> None:
        found = _HEAD.fullmatch(head)
        status = int(found[1]) if found else _SWITCHING
        lengths = [value.strip(b" \t") for value in _LENGTHS.findall(head)]
        codings = [value.strip(b" \t").lower() for value in _CODINGS.findall(head)]
        self._next_part = self._doubtful
        if status == _SWITCHING:
            return
        if status < _OK:  # the response is still to come
            if not lengths and not codings:
                self._next_part = self._head
        elif status in _WITHOUT_BODY:
            self.is_over = not codings and lengths in ([], [b"0"])
        elif codings == [b"chunked"] and not lengths:
            self._is_chunked, self._end = True, b"\r\n"
            self._next_part = self._line_of_chunk
        elif not codings and len(lengths) == 1 and _LENGTH.fullmatch(lengths[0]):
            self._left = int(lengths[0])
            self.is_over = not self._left
            self._next_part = self._head  # of no use, but beyond doubt

    def _line_of_chunk(self, line: bytes) -> None:
        chunk = _CHUNK.fullmatch(line)
        size = int(chunk[1], 16) if chunk else 0
        self._left = size + len(b"\r\n") if size else 0
        if not size:
            self._next_part = self._trailer if chunk else self._doubtful

    def _trailer(self, line: bytes) -> None:
        self.is_over = not line
        if b"\n" in line:  # one parser takes that for the end of a line, another does not
            self._next_part = self._doubtful

    def _doubtful(self, _part: bytes) -> None:
        """All that comes is taken for the response, and its end is never found."""
