"""Versions: one way to hash a declaration.

Belongs here: the fingerprint of plain values. Does not belong here: content hashes of data (`quality.proof`).
"""

from __future__ import annotations

import hashlib
import json
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
