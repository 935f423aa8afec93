"""A tool that returns text and a picture."""

import struct
import zlib

from mcpserve import Image, Text, tool


@tool(read_only=True)
def square(size: int = 16) -> list[Text | Image]:
    """Draw a black square, and say how large it is."""
    return [Text(f"A black square of {size} by {size} pixels."), Image(png(size), "image/png")]


def png(size: int) -> bytes:
    """Encode a black square as a PNG file."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(size + 1) * size))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    """Frame one part of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
