"""References: what expectations read is there, of the same type, and built before."""

from __future__ import annotations

from pathlib import Path

import pytest
from declared import domain_of

from assay.contracts import ControlTotal, Daily, Date, Event, Published, Refers, column, source, table
from assay.contracts.expectation import Expectation
from assay.engine.project import Project, load_project
from assay.errors import ContractError, SqlError
from assay.landing.formats import Debezium


def load(folder: Path, *expects: Expectation, of_kinds: tuple[Expectation, ...] = ()) -> Project:
    @source("things", format=Debezium("things"), key=("id",), partition=Daily("day", of="at"), owner="team:x", subject="x")
    class ThingEvents(Event):
        """Events."""

        id: str = column("Key", nullable=True)
        kind: str = column("Kind", nullable=True)
        at: str = column("Day", nullable=True)

    @source("kinds", format=Debezium("kinds"), key=("code",), owner="team:x", subject="x")
    class KindEvents(Event):
        """Events."""

        code: str = column("Key", nullable=True)
        number: int = column("Number", nullable=True)

    @table("things", layer="enriched", key=("id",), partition=Daily("day"), owner="team:x", subject="x", expects=expects)
    class Things(Published):
        """Things."""

        id: str = column("Key")
        kind: str = column("Kind")
        day: Date = column("Day")

    @table("kinds", layer="enriched", key=("code",), owner="team:x", subject="x", expects=of_kinds)
    class Kinds(Published):
        """Kinds."""

        code: str = column("Key")
        number: int = column("Number")

    @table("kinds", layer="marts", key=("code",), owner="team:x", subject="x")
    class KindsMart(Published):
        """Kinds."""

        code: str = column("Key")

    origin = "_ingested_at AS ingestion_timestamp, _source AS data_source"
    sql = {
        "enriched.things": f"SELECT id, kind, day, {origin} FROM latest.things",
        "enriched.kinds": f"SELECT code, number, {origin} FROM latest.kinds",
        "marts.kinds": "SELECT code, ingestion_timestamp, data_source FROM enriched.kinds",
    }
    return load_project(domain_of(folder, [ThingEvents, KindEvents, Things, Kinds, KindsMart], sql))


class TestReads:
    def test_what_is_referred_to_is_read_and_built_before(self, tmp_path: Path) -> None:
        project = load(
            tmp_path, Refers({"kind": "code"}, to="enriched.kinds"), Refers({"id": "code"}, to="history.kinds", at="day")
        )
        assert project.nodes["enriched.things"].reads == ("latest.things", "enriched.kinds", "history.kinds")
        assert project.upstream("enriched.things") == ("raw.things", "enriched.kinds", "raw.kinds")
        names = list(project.nodes)
        assert names.index("enriched.kinds") < names.index("enriched.things")

    def test_a_circle_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SqlError, match="which is a cycle"):
            load(
                tmp_path,
                Refers({"kind": "code"}, to="enriched.kinds"),
                of_kinds=(Refers({"code": "kind"}, to="enriched.things"),),
            )


@pytest.mark.parametrize(
    ("expectation", "said"),
    [
        (Refers({"kind": "code"}, to="enriched.sorts"), "Refers kind_in_sorts reads enriched.sorts, which does not exist"),
        (Refers({"kind": "code"}, to="kinds"), "Refers kind_in_ reads kinds, which does not exist"),
        (Refers({"kind": "name"}, to="enriched.kinds"), "Refers kind_in_kinds reads name of enriched.kinds, which it does not"),
        (
            Refers({"kind": "code"}, to="enriched.kinds", at="day"),
            "Refers kind_in_kinds reads valid_from, valid_to of enriched.kinds",
        ),
        (Refers({"kind": "code"}, to="marts.kinds"), "Refers kind_in_kinds reads marts.kinds, but enriched tables are built"),
        (Refers({"kind": "id"}, to="enriched.things"), "Refers kind_in_things reads the table itself"),
        (
            Refers({"kind": "number"}, to="enriched.kinds"),
            "Refers kind_in_kinds compares kind, which is VARCHAR, with number of enriched.kinds, which is BIGINT",
        ),
        (
            ControlTotal("latest.kinds", on={"kind": "code"}, rows="number"),
            "ControlTotal total_as_in_kinds is on kind, but the table is partitioned by day",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, expectation: Expectation, said: str) -> None:
    with pytest.raises(ContractError) as raised:
        load(tmp_path, expectation)
    assert raised.value.message.startswith(f"enriched.things: {said}")
    assert raised.value.hint
