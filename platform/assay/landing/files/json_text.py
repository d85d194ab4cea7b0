"""JSON values in a text: where each begins and ends, up to where the text is no longer JSON.

Belongs here: scanning values, members of objects and elements of arrays, and the byte at which a value begins. Does not belong
here: which values are records (`containers`, `readers.documents.responses`), what they mean (the readers).

Numbers are not converted, so that none is too long.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator

BLANKS = " \t\r\n"
"""The characters that JSON allows between its parts."""
_DECODER = json.JSONDecoder(parse_float=str, parse_int=str)


class DamagedJsonError(ValueError):
    """A text that is not JSON.

    Attributes:
        place: The character from which it is not.
    """

    def __init__(self, place: int, said: str) -> None:
        super().__init__(said)
        self.place = place


class ByteOffsets:
    """Converts places in a text, each after the one before, to bytes of its file.

    Args:
        text: The text of a file from its start; bytes that are not UTF-8 are escaped as surrogates.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = self._byte = 0

    def at(self, place: int) -> int:
        """The byte of the file at which a character begins."""
        self._byte += len(self._text[self._place : place].encode("utf-8", "surrogateescape"))
        self._place = place
        return self._byte


def value_at(text: str, place: int) -> tuple[object, int]:
    """The value that begins at a place, and where it ends."""
    try:
        return _DECODER.raw_decode(text, place)
    except (ValueError, RecursionError) as error:
        raise DamagedJsonError(place, str(error)) from error


def member_at(text: str, place: int) -> tuple[object, int]:
    """The name of an object's member that begins at a place, and where its value begins."""
    name, place = value_at(text, place)
    return name, after_blank(text, after(text, after_blank(text, place), ":"))


def elements_at(text: str, place: int, said: str = ", should be here") -> Generator[tuple[int, int], None, int]:
    """Yield the start and end of each element of an array that begins at a place; returns where the array ends.

    Args:
        text: The text.
        place: The place of its bracket.
        said: What is wrong with an array in which something else follows an element.
    """
    place = after_blank(text, place + 1)
    while text[place : place + 1] != "]":
        _, end = value_at(text, place)
        yield place, end
        place = after_blank(text, end)
        if text[place : place + 1] == ",":
            place = after_blank(text, place + 1)
        elif text[place : place + 1] != "]":
            raise DamagedJsonError(place, said)
    return place + 1


def after(text: str, place: int, expected: str) -> int:
    """The place after an expected character."""
    if text[place : place + 1] != expected:
        raise DamagedJsonError(place, f"{expected} should be here")
    return place + 1


def after_member(text: str, place: int) -> int:
    """Where an object's next member begins, or the object is closed."""
    place = after_blank(text, place)
    return place if text[place : place + 1] == "}" else after_blank(text, after(text, place, ","))


def after_blank(text: str, place: int) -> int:
    """The place of the next character that is not blank, or the end of the text."""
    while place < len(text) and text[place] in BLANKS:
        place += 1
    return place


def first_place(text: str) -> int:
    """The place after a byte-order mark, if the text has one."""
    return 1 if text.startswith("\ufeff") else 0


def places(text: str, found: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the number of each value found in a text, and of the damage if any, with the byte at which it begins.

    Args:
        text: The text.
        found: The start and end of each value.
    """
    offsets, row = ByteOffsets(text), 0
    try:
        for row, (place, _) in enumerate(found, 1):
            yield row, offsets.at(place)
    except DamagedJsonError as error:
        yield row + 1, offsets.at(error.place)
