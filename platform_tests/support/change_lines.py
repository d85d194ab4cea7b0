"""Debezium change events as lines of text, as tests write them. Nothing here reads."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from typing import Any

CREATED_AT_MS = 1_735_689_600_000
"""2025-01-01T00:00:00Z: an event at position `n` happened `n` seconds later, if nothing else is said."""


def change(
    table: str, op: str, position: int, row: Mapping[str, Any], *, ts_ms: int | None = None, with_schema: bool = False
) -> str:
    """Write one event; a delete carries its row as the before image.

    Args:
        table: The source table.
        op: c, u, d or r.
        position: Where in the source's log it stands.
        row: The row after the change; before it, for a delete.
        ts_ms: When it happened.
        with_schema: Put the envelope into `payload`, beside a schema.
    """
    happened = CREATED_AT_MS + 1000 * position if ts_ms is None else ts_ms
    envelope = {
        "op": op,
        "ts_ms": happened + 5,
        "source": {"table": table, "lsn": position, "ts_ms": happened, "sequence": json.dumps([str(position), str(position)])},
        "before": dict(row) if op == "d" else None,
        "after": None if op == "d" else dict(row),
    }
    return json.dumps({"schema": {"type": "struct"}, "payload": envelope} if with_schema else envelope)


def order(
    key: str | None,
    position: int,
    *,
    day: str | None = "2025-01-03",
    amount: Any = "10.00",
    customer: str | None = "c1",
    op: str = "c",
    **more: Any,
) -> str:
    """An event of the shop's orders."""
    row = {"order_id": key, "customer_id": customer, "amount": amount, "ordered_at": day}
    return change("orders", op, position, {**row, **more})


def deleted_order(key: str, position: int) -> str:
    """The delete of an order, which names its key alone: what else is in the before image is made up."""
    return change("orders", "d", position, {"order_id": key, "customer_id": "", "amount": "0", "ordered_at": None})


def customer(key: str, position: int, *, level: str = "basic", name: str = "Ann", op: str = "c", ts_ms: int | None = None) -> str:
    """An event of the shop's customers."""
    return change("customers", op, position, {"customer_id": key, "name": name, "level": level}, ts_ms=ts_ms)


def deleted_customer(key: str, position: int) -> str:
    """The delete of a customer."""
    return change("customers", "d", position, {"customer_id": key})


def text(*lines: str) -> bytes:
    """Lines as a file's bytes."""
    return "".join(f"{line}\n" for line in lines).encode()


def zipped(*lines: str) -> bytes:
    """Lines as a gzipped file's bytes, the same every time."""
    return gzip.compress(text(*lines), mtime=0)
