"""The names of the objects that AWS DMS writes, and the order of changes that they give.

Belongs here: parsing names. Does not belong here: what is in the objects (`reader`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LOAD = re.compile(r"LOAD([0-9A-Fa-f]{1,15})")
_CHANGES = re.compile(r"(CDC_TXN-)?(\d{8})-?(\d{6})-?(\d*)")
_FRACTION_DIGITS = 18


@dataclass(frozen=True)
class DmsObject:
    """The parts of an object's name.

    Attributes:
        is_load: Whether it belongs to a full load.
        of_many_tables: Whether its records name their tables.
        second: The second when it was begun, as a number of 14 digits; 0 for a full load.
        fraction: The fraction of that second in units of 10^-18; the counter for a full load.
    """

    is_load: bool
    of_many_tables: bool
    second: int
    fraction: int


def dms_object(key: str) -> DmsObject | None:
    """Parse the name of an object; None if it belongs neither to a full load nor to changes."""
    stem = key.rsplit("/", 1)[-1].split(".", 1)[0]
    if load := _LOAD.fullmatch(stem):
        return DmsObject(is_load=True, of_many_tables=False, second=0, fraction=int(load.group(1), 16))
    if changes := _CHANGES.fullmatch(stem):
        many, day, second, fraction = changes.groups()
        return DmsObject(
            is_load=False,
            of_many_tables=many is not None,
            second=int(day + second),
            fraction=int(fraction[:_FRACTION_DIGITS].ljust(_FRACTION_DIGITS, "0")),
        )
    return None
