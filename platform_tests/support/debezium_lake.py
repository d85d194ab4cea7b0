"""A lake with one source of Debezium events, whose columns a test names by type; and envelopes of any connector."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from declared import domain_of
from shop_lake import ShopLake

from assay.contracts import Event, column, source
from assay.landing.formats import Debezium

SOURCE = "rows"
TABLE = "rows"


def rows_lake(folder: Path, form: Debezium | None = None, **types: Any) -> ShopLake:
    """Make a lake with a source of rows, whose key is `id` and whose columns may all be null.

    Args:
        folder: Where the lake is made.
        form: How the events are written.
        **types: Type by column; `id` is text if it is not given.
    """
    annotations = {"id": str, **types}
    columns = {name: column(name, nullable=True) for name in annotations}
    model = type("Rows", (Event,), {"__annotations__": annotations, "__doc__": "Rows.", **columns})
    declare = source(SOURCE, format=form or Debezium(TABLE), key=("id",), owner="team:x", subject="x")
    return ShopLake(folder, domain_of(folder / "sql", [declare(model)], {}))


def envelope(op: str, origin: Mapping[str, Any], row: Mapping[str, Any] | None, **more: Any) -> dict[str, Any]:
    """Make an envelope; a delete carries its row as the before image."""
    image = None if row is None else dict(row)
    before, after = (image, None) if op == "d" else (None, image)
    return {"op": op, "ts_ms": 1_700_000_000_000, "source": {"table": TABLE, **origin}, "before": before, "after": after, **more}


def at(lsn: int, **more: Any) -> dict[str, Any]:
    """Make PostgreSQL's position."""
    return {
        "connector": "postgresql",
        "lsn": lsn,
        "sequence": json.dumps([str(lsn), str(lsn)]),
        "ts_ms": 1_700_000_000_000,
        **more,
    }


def change(lsn: int, op: str = "c", **row: Any) -> dict[str, Any]:
    """Make a change of PostgreSQL's."""
    return envelope(op, at(lsn), {"id": str(lsn), **row})


def with_schema(message: Mapping[str, Any], *fields: Mapping[str, Any]) -> dict[str, Any]:
    """Put the schema around a message: the fields of its rows."""
    image = {"type": "struct", "optional": True, "fields": list(fields)}
    schema = {"type": "struct", "fields": [{**image, "field": "before"}, {**image, "field": "after"}], "optional": False}
    return {"schema": schema, "payload": dict(message)}


def described(name: str, kind: str, type_name: str | None = None, **parameters: str) -> dict[str, Any]:
    """Describe a field in a schema."""
    named = {} if type_name is None else {"name": type_name, "version": 1}
    return {"type": kind, "optional": True, **named, **({"parameters": parameters} if parameters else {}), "field": name}


def lines_of(*messages: object) -> bytes:
    """Write messages one a line."""
    return "".join(f"{json.dumps(message, ensure_ascii=False)}\n" for message in messages).encode()


def read(
    lake: ShopLake, *messages: object, columns: str = "* EXCLUDE (_ingested_at)", quickly: bool = True
) -> list[tuple[Any, ...]]:
    """Land messages, ingest them, and read the events in the order of their lines.

    Args:
        lake: The lake.
        *messages: The messages.
        columns: What is read.
        quickly: Whether usual messages are read the quick way; a file with a line that is not UTF-8 is not.
    """
    lake.land(SOURCE, "a.json", lines_of(*messages) + (b"" if quickly else b"\xff\n"))
    lake.ingest(SOURCE)
    return lake.rows(f"SELECT {columns} FROM changes.{SOURCE} ORDER BY _landing_object, _landing_row")


def refused(lake: ShopLake) -> list[tuple[int, str]]:
    """Line and reason of every refused record, but for the line that makes `read` slow."""
    return [(row, reason) for _, row, reason in lake.refused(SOURCE) if not reason.startswith("not valid UTF-8")]


def messages(lake: ShopLake) -> int:
    """How many records were no row changes."""
    return sum(landed.messages for batch in lake.ledger(SOURCE).batches for landed in batch.landed)
