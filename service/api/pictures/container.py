"""PNG and JPEG files looked through before they are decoded: which it is, how large, and whether it is whole."""

import re
from dataclasses import dataclass
from typing import Literal

from service.api.pictures.errors import PictureError

Kind = Literal["PNG", "JPEG"]

MOST_CHUNKS = 20_000
"""Of a PNG file. 25 million pixels in pieces of 8 KiB are some thousands."""
MOST_SCANS = 64
"""Of a JPEG file: passes over all of its pixels, however short each is. Encoders use about ten."""

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
"""In coded data FF is followed by 00 or by one of D0 to D7."""
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_END, _SCAN, _BARE = 0xD9, 0xDA, frozenset({0x01, 0xD8})


@dataclass(frozen=True)
class Container:
    """A picture file's own account of itself, before rotation. Units: pixels."""

    kind: Kind
    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Of the decoded picture."""
        return self.width * self.height


def inspect(data: bytes) -> Container:
    """Look through a file without decoding it.

    Errors: PictureError when it is neither PNG nor JPEG, ends early, or would take far more work than its size says.
    """
    if data.startswith(_PNG):
        return _png(data)
    if data.startswith(_JPEG):
        return _jpeg(data)
    raise PictureError(f"expected a PNG or JPEG file, got {_described(data)}")


def _described(data: bytes) -> str:
    return f"{len(data)} bytes that begin with {data[:8].hex(' ')}" if data else "nothing"


def _png(data: bytes) -> Container:
    found = None
    at = len(_PNG)
    for _ in range(MOST_CHUNKS):
        kind, end = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            raise PictureError(f"the PNG file is truncated {_inside(kind)} at byte {len(data)}")
        if found is None:
            if kind != b"IHDR" or end - at != 25:
                raise PictureError("the PNG file does not begin with a whole IHDR chunk")
            sides = data[at + 8 : at + 16]
            found = _sized("PNG", int.from_bytes(sides[:4], "big"), int.from_bytes(sides[4:], "big"))
        elif kind == b"IEND":
            return found
        at = end
    raise PictureError(f"the PNG file has more than {MOST_CHUNKS} chunks")


def _inside(chunk: bytes) -> str:
    return f"in its {chunk.decode()} chunk" if len(chunk) == 4 and chunk.isalpha() else "between chunks"


def _jpeg(data: bytes) -> Container:
    found, scans = None, 0
    marker = _MARKER.search(data, 2)
    while marker:
        code, at = marker[1][0], marker.end()
        if code == _END:
            break
        if code not in _BARE:
            length = int.from_bytes(data[at : at + 2], "big")
            if length < 2 or at + length > len(data):
                break
            if code in _FRAMES and found is None:
                height, width = data[at + 3 : at + 5], data[at + 5 : at + 7]
                found = _sized("JPEG", int.from_bytes(width, "big"), int.from_bytes(height, "big"))
            scans += code == _SCAN
            if scans > MOST_SCANS:
                raise PictureError(f"the JPEG file has more than {MOST_SCANS} scans")
            at += length
        marker = _MARKER.search(data, at)
    if found is None or not scans:
        raise PictureError(f"the JPEG file is truncated or damaged before its first scan, at byte {len(data)}")
    return found


def _sized(kind: Kind, width: int, height: int) -> Container:
    if not width or not height:
        raise PictureError(f"the {kind} file says that it is {width} x {height} pixels")
    return Container(kind, width, height)
