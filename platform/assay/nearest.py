"""Likely corrections of unknown names.

Belongs here: suggestions for a name that is mistyped or lacks its layer. Does not belong here: looking names up.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_SHOWN = 3
_ALIKE = 0.7
"""Share of letters in common, as counted by difflib, from which one name may be a mistyped form of another."""
_FEW = 12


def suggestion(name: str, known: Iterable[str], otherwise: str) -> str:
    """Suggest the known names that were probably meant.

    Args:
        name: The unknown name, as in `merchant_dayly` or `marts.merchants`.
        known: Every known name, with its layer if it has one.
        otherwise: The suggestion if no name is near and there are too many to list.
    """
    every = sorted(set(known))
    if near := _near(name, every):
        return f"Did you mean {' or '.join(near)}?"
    return f"There are {', '.join(every)}." if 0 < len(every) <= _FEW else otherwise


def _near(name: str, every: list[str]) -> list[str]:
    """The nearest names; a table that is right except for its layer comes first."""
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
