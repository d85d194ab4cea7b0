"""Fixtures of the quality tests: a domain whose one table has a rule of every severity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from declared import domain_of

from assay.contracts import Daily, Date, Event, Money, Published, Severity, column, source, table
from assay.contracts.rules import quote
from assay.engine.connection import Limits, connect
from assay.engine.project import Node, Project, load_project
from assay.engine.relations import create_layers
from assay.engine.staging import stage
from assay.landing.formats import Debezium

DAY = "2025-01-03"
NEXT = "2025-01-04"


class Proving:
    """The table `enriched.orders`, with events of it bound as a test gives them."""

    def __init__(self, folder: Path) -> None:
        @source(
            "orders", format=Debezium("orders"), key=("id",), partition=Daily("day", of="on_day"), owner="team:x", subject="x"
        )
        class Orders(Event):
            """Events."""

            id: str = column("Key", nullable=True)
            amount: str = column("Amount", nullable=True)
            note: str = column("Text", nullable=True)
            kind: str = column("Kind", nullable=True)
            on_day: str = column("Day", nullable=True)

        @table(
            "orders",
            layer="enriched",
            key=("id",),
            partition=Daily("day"),
            owner="team:x",
            subject="x",
            money="amount",
            threshold=40,
            severities={"note_length": Severity.FIX, "kind_known": Severity.WARN, "amount_at_most": Severity.STOP},
        )
        class Judged(Published):
            """A table."""

            id: str = column("Key", str_matches="^o")
            amount: Money = column("Amount", ge=0, le=1000, nullable=True)
            note: str = column("Text", str_length={"max_value": 3}, nullable=True)
            kind: str = column("Kind", isin=["a", "b"], nullable=True)
            day: Date = column("Day")

        sql = (
            "SELECT id, amount, note, kind, day, _ingested_at AS ingestion_timestamp, _source AS data_source FROM changes.orders"
        )
        self.project: Project = load_project(domain_of(folder, [Orders, Judged], {"enriched.orders": sql}))
        self.node: Node = self.project.nodes["enriched.orders"]
        self.connection: duckdb.DuckDBPyConnection = connect(Limits("500MB", 2, folder / "scratch"))
        create_layers(self.connection)

    def stage(self, rows: Sequence[Mapping[str, Any]], partitions: Sequence[str] = (DAY, NEXT)) -> None:
        """Bind rows, right in every column but those given, and stage them."""
        types = self.project.domain.sources["orders"].types
        declared = ", ".join(f"{quote(name)} {kind}" for name, kind in types.items())
        for schema in ("changes", "events"):
            self.connection.execute(f"CREATE OR REPLACE TABLE {schema}.orders ({declared})")
        for place, row in enumerate(rows, start=1):
            usual = {
                "id": f"o{place}",
                "amount": "1.00",
                "note": "n",
                "kind": "a",
                "day": DAY,
                "_op": "c",
                "_sequence": [place],
                "_source": "orders",
            }
            usual |= {"_ingested_at": "2025-01-10 00:00:00+00", "_landing_object": "landing/orders/a.json", "_landing_row": place}
            filled = usual | row
            names = ", ".join(quote(name) for name in filled)
            marks = ", ".join("?" * len(filled))
            for schema in ("changes", "events"):
                self.connection.execute(f"INSERT INTO {schema}.orders ({names}) VALUES ({marks})", list(filled.values()))
        stage(self.connection, self.node, partitions)


@pytest.fixture
def proving(tmp_path: Path) -> Proving:
    """A table to be proven."""
    return Proving(tmp_path)
