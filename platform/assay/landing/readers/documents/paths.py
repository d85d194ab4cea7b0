"""Paths within JSON documents, as authors declare them.

Belongs here: converting a declared path for DuckDB. Does not belong here: what is at a path.
"""

from __future__ import annotations

from assay.contracts.rules import literal


def json_path(dotted: str, rest: str = "") -> str:
    """Write a declared path, as in `order.items`, as a JSON path for DuckDB.

    Args:
        dotted: The path.
        rest: What follows it in the JSON path, as in `[*]`.
    """
    return literal("$." + ".".join(f'"{name}"' for name in dotted.split(".")) + rest)
