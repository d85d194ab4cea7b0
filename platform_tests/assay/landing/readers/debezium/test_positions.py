"""The order of a source's events, connector by connector: positions are numbers, as many for every event."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from debezium_lake import TABLE, envelope, messages, read, refused, rows_lake

from assay.errors import ContractError
from assay.landing.formats import Connector, Debezium

both_ways = pytest.mark.parametrize("quickly", [True, False], ids=["quickly", "exactly"])

# Of each connector, positions in the order of the source; the first two are of snapshots.
ORDERED: dict[Connector, list[tuple[dict[str, Any], list[int]]]] = {
    "postgresql": [
        ({"snapshot": "incremental", "sequence": '["50",null]', "lsn": None, "ts_ms": 7}, [0, 7]),
        ({"snapshot": "first", "sequence": '[null,"9"]', "lsn": 9}, [9, 9]),
        ({"snapshot": None, "sequence": '["9","100"]', "lsn": 100}, [9, 100]),
        ({"snapshot": "false", "lsn": 10}, [10, 10]),
        # Committed later than the next one's position says: the commit counts.
        ({"sequence": '["11","40"]', "lsn": 40}, [11, 40]),
        ({"sequence": '["100","30"]', "lsn": 30}, [100, 30]),
    ],
    "mysql": [
        ({"snapshot": "incremental", "file": "", "pos": 0, "row": 0}, [0, 0, 0]),
        ({"snapshot": "true", "file": "binlog.000009", "pos": 4, "row": 0}, [9, 4, 0]),
        ({"snapshot": "false", "file": "binlog.000009", "pos": 23, "row": 0}, [9, 23, 0]),
        ({"snapshot": False, "file": "binlog.000009", "pos": 123, "row": 2}, [9, 123, 2]),
        ({"file": "binlog.000009", "pos": 123, "row": 10}, [9, 123, 10]),
        ({"file": "binlog.000010", "pos": 4, "row": 0}, [10, 4, 0]),
        ({"file": "binlog.999999", "pos": 4}, [999999, 4, 0]),
        ({"file": "binlog.1000000", "pos": 4}, [1000000, 4, 0]),
    ],
    "mongodb": [
        ({"snapshot": "incremental", "ts_ms": 0, "ord": 0}, [0, 0, 0, 0]),
        ({"snapshot": "true", "ts_ms": 9000, "ord": 1}, [9, 1, 0, 0]),
        ({"ts_ms": 9999, "ord": 2, "h": None, "tord": None}, [9, 2, 0, 0]),
        # Of one transaction, as older versions tell it: `h` orders nothing.
        ({"ts_ms": 9001, "ord": 10, "h": 1546547425148721999, "tord": 2}, [9, 10, 2, 0]),
        ({"ts_ms": 9001, "ord": 10, "h": -398278732173914406, "tord": 10}, [9, 10, 10, 0]),
        ({"ts_ms": 10000, "ord": 1}, [10, 1, 0, 0]),
    ],
    "sqlserver": [
        ({"snapshot": "true", "commit_lsn": "00000025:00000d98:00a2", "change_lsn": None}, [0x25, 0xD98, 0xA2, 0, 0, 0, 0]),
        ({"snapshot": "incremental", "commit_lsn": "00000025:00000d98:00a3"}, [0x25, 0xD98, 0xA3, 0, 0, 0, 0]),
        (
            {"commit_lsn": "00000027:00000ac0:0007", "change_lsn": "00000027:00000ac0:0002", "event_serial_no": 2},
            [0x27, 0xAC0, 7, 0x27, 0xAC0, 2, 2],
        ),
        (
            {"commit_lsn": "00000027:00000ac0:0007", "change_lsn": "00000027:00000ac0:0010", "event_serial_no": "1"},
            [0x27, 0xAC0, 7, 0x27, 0xAC0, 16, 1],
        ),
        ({"commit_lsn": "ffffffff:ffffffff:ffff"}, [0xFFFFFFFF, 0xFFFFFFFF, 0xFFFF, 0, 0, 0, 0]),
    ],
    "oracle": [
        ({"snapshot": "true", "scn": "99"}, [99, 99, 0, 0, 0, 0]),
        ({"scn": "90", "commit_scn": "100", "rs_id": " 0x001234.00012345.0124 ", "ssn": 1}, [100, 90, 0x1234, 0x12345, 0x124, 1]),
        ({"scn": "90", "commit_scn": "100", "rs_id": "001234.00012345.0124", "ssn": 2}, [100, 90, 0x1234, 0x12345, 0x124, 2]),
        ({"scn": "1000", "commit_scn": "1000"}, [1000, 1000, 0, 0, 0, 0]),
    ],
    "informix": [
        ({"commit_lsn": "0", "change_lsn": "0"}, [0, 0]),
        ({"commit_lsn": "627404540760620", "change_lsn": "627404540485812"}, [627404540760620, 627404540485812]),
    ],
}
ORDERED["mariadb"], ORDERED["db2"] = ORDERED["mysql"], ORDERED["sqlserver"]
TABLE_FIELD = {"mongodb": "collection"}


def events(connector: Connector, *origins: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for origin in origins:
        row: Any = {"id": "1"}
        message = envelope("c", {"connector": connector, TABLE_FIELD.get(connector, "table"): TABLE, **origin}, row)
        found.append(message | {"after": json.dumps(row)} if connector == "mongodb" else message)
    return found


@both_ways
@pytest.mark.parametrize("connector", ORDERED)
def test_bug_1_positions_are_compared_as_numbers(tmp_path: Path, connector: Connector, quickly: bool) -> None:
    origins, sequences = zip(*ORDERED[connector], strict=True)
    found = read(
        rows_lake(tmp_path, Debezium(TABLE, connector=connector)),
        *events(connector, *origins),
        columns="_sequence",
        quickly=quickly,
    )
    assert [sequence for (sequence,) in found] == list(sequences)
    assert all(earlier < later for earlier, later in itertools.pairwise(sequences))
    assert len({len(sequence) for sequence in sequences}) == 1


@both_ways
def test_bug_9_a_snapshot_read_is_no_newer_than_what_came_after_it(tmp_path: Path, quickly: bool) -> None:
    lake = rows_lake(tmp_path, value=str)
    read_row = envelope("r", {"connector": "postgresql", "snapshot": "incremental", "lsn": None}, {"id": "1", "value": "old"})
    update = envelope("u", {"connector": "postgresql", "lsn": 5, "sequence": '["5","5"]'}, {"id": "1", "value": "new"})
    read(lake, update, read_row, columns="id", quickly=quickly)
    assert lake.rows("SELECT value FROM latest.rows") == [("new",)]


@both_ways
def test_bug_13_a_second_snapshot_stands_where_it_was_taken(tmp_path: Path, quickly: bool) -> None:
    lake = rows_lake(tmp_path, value=str)
    origins: list[tuple[str, dict[str, Any]]] = [
        ("c", {"lsn": 5, "sequence": '["4","5"]'}),
        ("r", {"lsn": 7, "sequence": '[null,"7"]', "snapshot": "true"}),
        ("u", {"lsn": 9, "sequence": '["8","9"]'}),
        ("r", {"lsn": 7, "sequence": '[null,"7"]', "snapshot": "true"}),
    ]
    rows = [envelope(op, origin, {"id": "1", "value": str(n)}) for n, (op, origin) in enumerate(origins)]
    read(lake, *rows, columns="id", quickly=quickly)
    assert lake.rows("SELECT value FROM latest.rows") == [("2",)]


@both_ways
def test_bug_11_rows_that_share_a_position_are_all_kept(tmp_path: Path, quickly: bool) -> None:
    origin = {"lsn": 5, "sequence": '[null,"5"]', "snapshot": "true"}
    lake = rows_lake(tmp_path)
    read(lake, *(envelope("r", origin, {"id": str(n)}) for n in range(4)), columns="id", quickly=quickly)
    assert lake.rows("SELECT count(*) FROM latest.rows") == [(4,)]


@both_ways
@pytest.mark.parametrize(
    ("connector", "origin"),
    [
        ("postgresql", {}),
        ("postgresql", {"sequence": "[]"}),
        ("postgresql", {"sequence": "x", "lsn": "y"}),
        ("mysql", {"file": "", "pos": 5, "row": 0}),
        ("mysql", {"file": "binlog", "pos": 5, "row": 0}),
        ("mongodb", {"ord": None, "ts_ms": 5}),
        # The name of an operation is no place, and a place in a transaction is none without the transaction's.
        ("mongodb", {"ts_ms": 5000, "h": 1546547425148721999, "tord": 1}),
        ("sqlserver", {"commit_lsn": None}),
        ("sqlserver", {"commit_lsn": "0025:zz:1"}),
        ("oracle", {"commit_scn": "5"}),
    ],
)
def test_an_event_without_position_is_refused(
    tmp_path: Path, connector: Connector, origin: dict[str, Any], quickly: bool
) -> None:
    lake = rows_lake(tmp_path, Debezium(TABLE, connector=connector))
    assert read(lake, *events(connector, origin), columns="id", quickly=quickly) == []
    assert refused(lake) == [(1, "no source position")]


@both_ways
def test_an_event_of_another_kind_of_database_is_refused(tmp_path: Path, quickly: bool) -> None:
    lake = rows_lake(tmp_path)
    read(lake, envelope("c", {"connector": "mysql", "lsn": 1}, {"id": "1"}), columns="id", quickly=quickly)
    assert refused(lake) == [(1, "an event of connector mysql, expected postgresql")]


@both_ways
def test_bug_12_a_new_key_is_a_delete_and_a_create_at_one_position(tmp_path: Path, quickly: bool) -> None:
    lake = rows_lake(tmp_path, value=str)
    origin = {"lsn": 7, "sequence": '["6","7"]'}
    created = envelope("c", {"lsn": 1, "sequence": '["1","1"]'}, {"id": "old", "value": "x"})
    moved = [envelope("d", origin, {"id": "old", "value": ""}), None, envelope("c", origin, {"id": "new", "value": "x"})]
    read(lake, created, *moved, columns="id", quickly=quickly)
    assert lake.rows("SELECT id, value FROM latest.rows") == [("new", "x")]
    assert messages(lake) == 1


def test_a_connector_whose_order_is_not_known_cannot_be_declared() -> None:
    with pytest.raises(ContractError, match="vitess"):
        Debezium("t", connector="vitess")  # type: ignore[arg-type]
