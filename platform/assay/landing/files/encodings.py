"""Encodings of text files: detected per file, repaired per field.

Belongs here: detecting a file's encoding, and decoding a field that does not follow it. Does not belong here: lines (`lines`),
fields (`readers.delimited.salvage`).

Files that several programs have written are mostly UTF-8, with some fields in Windows' encoding. Decoding the whole file as
either one garbles the other's fields, so each field is decoded by itself. Within a field, valid UTF-8 stays, and only the
other bytes are decoded as Windows'.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_CHUNK_BYTES = 1 << 20
_FOREIGN = re.compile("[\udc80-\udcff]")
LOST = "\ufffd"
"""The replacement character, for a character that an earlier program could not decode."""
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def _cp1252() -> str:
    """The 256 characters of Windows' Western encoding; its five undefined bytes are decoded as in Latin-1."""
    characters = []
    for code in range(256):
        try:
            characters.append(bytes([code]).decode("cp1252"))
        except UnicodeDecodeError:
            characters.append(chr(code))
    return "".join(characters)


# With `surrogateescape`, a byte that is not UTF-8 is decoded as the surrogate of its number.
_OF_FOREIGN = {0xDC00 + code: character for code, character in enumerate(_cp1252()) if code >= 0x80}


@dataclass(frozen=True)
class Broken:
    """Where a file's encoding is broken.

    Attributes:
        offset: The byte from which nothing could be decoded.
        reason: The reason.
    """

    offset: int
    reason: str


def utf16_of(start: bytes) -> str | None:
    """The kind of UTF-16 given by a file's byte-order mark, if it has one."""
    return _UTF16.get(start[:2])


def is_sound(path: Path) -> bool:
    """Whether a whole file is UTF-8 and contains no replacement character."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                if (not chunk.isascii() or decoder.getstate()[0]) and LOST in decoder.decode(chunk):
                    return False
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def has_foreign_bytes(text: str) -> bool:
    """Whether a text, decoded with `surrogateescape`, contains bytes that are not UTF-8."""
    return not text.isascii() and _FOREIGN.search(text) is not None


def repaired(text: str) -> str:
    """Decode a field's bytes that are not UTF-8, escaped by `surrogateescape`, as Windows' encoding."""
    return text.translate(_OF_FOREIGN)


def rewrite_utf16(stream: BinaryIO, kind: str, to: Path) -> Broken | None:
    """Write a UTF-16 file as UTF-8, without its byte-order mark.

    Half a surrogate pair has no UTF-8: its three bytes are written anyway, so that the reader of the field sees that it is
    not valid.

    Args:
        stream: The file, from its start.
        kind: `utf-16-le` or `utf-16-be`.
        to: Where the text goes.

    Returns:
        What is wrong with its end, if anything; everything before it is written.
    """
    decoder = codecs.getincrementaldecoder(kind)(errors="surrogatepass")
    read = len(stream.read(2))
    with to.open("wb") as text:
        while chunk := stream.read(_CHUNK_BYTES):
            read += len(chunk)
            text.write(decoder.decode(chunk).encode("utf-8", "surrogatepass"))
        pending = len(decoder.getstate()[0])
    return Broken(read - pending, "the UTF-16 text ends within a character") if pending else None
