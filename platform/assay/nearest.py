"""Names that were probably meant by one that is unknown.

Belongs here: what a message suggests for a name that is mistyped or lacks its layer. Does not belong here: looking names up.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_SHOWN = 3
_ALIKE = 0.7
"""Share of letters in common, as difflib counts them, from which on one name may be meant by another."""
_FEW = 12


def suggestion(name: str, known: Iterable[str], otherwise: str) -> str:
    """Say which of the known names was probably meant.

    Args:
        name: What was asked for, as in `merchant_dayly` or `marts.merchants`.
        known: Every name there is, with its layer where it has one.
        otherwise: What to do where none is near and there are too many to list.
    """
    every = sorted(set(known))
    if near := _near(name, every):
        return f"Did you mean {' or '.join(near)}?"
    return f"There are {', '.join(every)}." if 0 < len(every) <= _FEW else otherwise


def _near(name: str, every: list[str]) -> list[str]:
    """The nearest names; a table that is right but for its layer comes first."""
    layer, _, bare = name.lower().rpartition(".")
    same = [each for each in every if _bare(each) == bare]
    if same:
        return same[:_SHOWN]
    if layer and (near := get_close_matches(name.lower(), every, n=_SHOWN, cutoff=_ALIKE)):
        return near
    closest = get_close_matches(bare, sorted({_bare(each) for each in every}), n=_SHOWN, cutoff=_ALIKE)
    return [each for found in closest for each in every if _bare(each) == found][:_SHOWN]


def _bare(name: str) -> str:
    return name.rpartition(".")[2].lower()
