"""Encodings of text files: found per file, repaired per field.

Belongs here: telling how a file's bytes are text, and reading a field that is not. Does not belong here: lines (`lines`),
fields (`csv_records`).

Files that several programs have written are mostly UTF-8 with fields in Windows' encoding. Reading the whole file as the one or
the other spoils the other's fields; each field is therefore read by itself.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_CHUNK_BYTES = 1 << 20
_FOREIGN = re.compile("[\udc80-\udcff]")
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


_CP1252 = _cp1252()


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


def is_utf8(path: Path) -> bool:
    """Whether the whole of a file is UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                if not chunk.isascii() or decoder.getstate()[0]:
                    decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def read_field(raw: bytes) -> str:
    """Read a field: as UTF-8 if it is that, else as Windows' Western encoding, in which every byte means something."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return codecs.charmap_decode(raw, "strict", _CP1252)[0]


def has_foreign_bytes(text: str) -> bool:
    """Whether a text, decoded with `surrogateescape`, holds bytes that are not UTF-8."""
    return not text.isascii() and _FOREIGN.search(text) is not None


def repaired(text: str) -> str:
    """Read a field again that was decoded as UTF-8 with `surrogateescape`."""
    return read_field(text.encode("utf-8", "surrogateescape"))


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
