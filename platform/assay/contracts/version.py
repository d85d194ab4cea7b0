"""Versions: one way to hash a declaration.

Belongs here: the fingerprint of plain values, and the conversion of declarations to plain values. Does not belong here: content
hashes of data (`quality.proof`).
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
        value: Anything `json` can write; other values are hashed as their `str`.

    Returns:
        16 hexadecimal digits of SHA-256 over the value's canonical JSON.
    """
    text = json.dumps(value, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def said(declaration: Any) -> Any:
    """Convert a declaration to plain values, for its fingerprint.

    Fields with their default value are left out, so that a field added in a later version of Assay changes no fingerprint and
    causes no recomputation.

    Args:
        declaration: A dataclass, possibly with others nested in mappings and sequences; other values are represented by their
            `repr`.
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
