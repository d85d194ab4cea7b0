"""Versions: one way to hash a declaration.

Belongs here: the fingerprint of plain values, and what is declared as plain values. Does not belong here: content hashes of data
(`quality.proof`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any


def fingerprint(value: Any) -> str:
    """Hash a JSON-like value.

    Args:
        value: Anything `json` writes; other values count by their `str`.

    Returns:
        16 hexadecimal digits of SHA-256 over the value's canonical JSON.
    """
    text = json.dumps(value, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def said(declaration: Any) -> Any:
    """Write what a declaration says, for its fingerprint.

    Fields that have their defaults say nothing. So a field that a later version of Assay adds changes no fingerprint, and nothing
    is computed again for it.

    Args:
        declaration: A dataclass with more of them in it, in mappings and in sequences; other values count by their `repr`.
    """
    if is_dataclass(declaration) and not isinstance(declaration, type):
        given = {each.name: getattr(declaration, each.name) for each in fields(declaration)}
        own = {each.name: said(given[each.name]) for each in fields(declaration) if given[each.name] != _default(each)}
        return [type(declaration).__name__, own]
    if isinstance(declaration, Mapping):
        return {str(name): said(value) for name, value in declaration.items()}
    if isinstance(declaration, tuple | list):
        return [said(value) for value in declaration]
    return repr(declaration)


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
