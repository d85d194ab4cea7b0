"""Encodings of text files: found per file, repaired per field.

Belongs here: telling how a file's bytes are text, and reading a field that is not. Does not belong here: lines (`lines`),
fields (`csv_records`).

Files that several programs have written are mostly UTF-8 with fields in Windows' encoding. Reading the whole file as the one or
the other spoils the other's fields; each field is therefore read by itself. Within one, what is UTF-8 stays, and
only the bytes that are not are read as Windows'.
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
"""What stands for a character that somebody before us could not read."""
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def _cp1252() -> str:
    """The 256 characters of Windows' Western encoding; its five undefined bytes are read as Latin-1 has them."""
    characters = []
    for code in range(256):
        try:
            characters.append(bytes([code]).decode("cp1252"))
        except UnicodeDecodeError:
            characters.append(chr(code))
    return "".join(characters)


# A byte that is not UTF-8 is decoded, with `surrogateescape`, as the surrogate of its number.
_OF_FOREIGN = {0xDC00 + code: character for code, character in enumerate(_cp1252()) if code >= 0x80}


@dataclass(frozen=True)
class Broken:
    """Where a file's encoding ends before the file does.

    Attributes:
        offset: The byte from which on nothing could be read.
        reason: Why.
    """

    offset: int
    reason: str


def utf16_of(start: bytes) -> str | None:
    """The kind of UTF-16 that a file's byte-order mark tells, if it begins with one."""
    return _UTF16.get(start[:2])


def is_sound(path: Path) -> bool:
    """Whether the whole of a file is UTF-8, and nothing in it stands for a character that was lost."""
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
    """Whether a text, decoded with `surrogateescape`, holds bytes that are not UTF-8."""
    return not text.isascii() and _FOREIGN.search(text) is not None


def repaired(text: str) -> str:
    """Read the bytes of a field that are not UTF-8, escaped by `surrogateescape`, as Windows', where each means something."""
    return text.translate(_OF_FOREIGN)


def rewrite_utf16(stream: BinaryIO, kind: str, to: Path) -> Broken | None:
    """Write a UTF-16 file as UTF-8, without its byte-order mark.

    Half a surrogate pair has no UTF-8: its three bytes are written all the same, so that whoever reads the field sees that it
    is not valid.

    Args:
        stream: The file, from its start.
        kind: `utf-16-le` or `utf-16-be`.
        to: Where the text goes.

    Returns:
        What is wrong with its end, if anything is; whatever stands before it is written.
    """
    decoder = codecs.getincrementaldecoder(kind)(errors="surrogatepass")
    read = len(stream.read(2))
    with to.open("wb") as text:
        while chunk := stream.read(_CHUNK_BYTES):
            read += len(chunk)
            text.write(decoder.decode(chunk).encode("utf-8", "surrogatepass"))
        pending = len(decoder.getstate()[0])
    return Broken(read - pending, "the UTF-16 text ends within a character") if pending else None
