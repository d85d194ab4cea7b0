"""The position of a Debezium event in the order of its source, for each connector.

Belongs here: which fields of `source` give the position, and the `_sequence` built from them. Does not belong here: finding those
fields in a message, and everything else in it (`messages`).

A position consists of numbers only, because texts sort differently (`binlog.1000000` comes before `binlog.999999`). All events of
a source have the same number of them. Clocks are not part of it, except for MongoDB, whose log is ordered by one.

The changes of one MongoDB transaction share a position, and follow each other in their topic: so the offset of their object's
first record, which a sink puts into the object's name, is appended as their last number. Lines of one object are ordered where
necessary (`batches.ties`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from assay.contracts.rules import literal
from assay.landing.files.landed_file import LandedFile
from assay.landing.formats import Connector
from assay.landing.kafka.names import position

Field = Callable[[str], str]
"""Writes the expression for a field of `source`."""


@dataclass(frozen=True)
class Positions:
    """How one kind of connector gives positions.

    Attributes:
        fields: DuckDB type by field of `source`.
        numbers: Writes the expressions for the numbers, the most significant first. If one is null, there is no position.
        table: The field of `source` with the table's name.
        are_shared: Whether the changes of a transaction share a position.
    """

    fields: Mapping[str, str]
    numbers: Callable[[Field], list[str]]
    table: str = "table"
    are_shared: bool = False

    def sequence(self, field: Field) -> str:
        """Write the expression for `_sequence`, a list of BIGINT; null if the event has no position.

        A row of an incremental snapshot may have none: it was read at some time between two events, so it ranks below any event,
        and only the time of reading orders such rows among themselves.
        """
        numbers = self.numbers(field)
        known = " AND ".join(f"{number} IS NOT NULL" for number in numbers)
        read = ", ".join(["0"] * (len(numbers) - 1) + [f"coalesce({field('ts_ms')}, 0)"])
        return (
            f"CASE WHEN {known} THEN [{', '.join(numbers)}]::BIGINT[] "
            f"WHEN {field('snapshot')} = 'incremental' THEN [{read}]::BIGINT[] END"
        )


def _postgresql(field: Field) -> list[str]:
    """Position of the commit, then of the change: changes are ordered by their commits, not by their own positions.

    Snapshot reads have no commit, so the first falls back to the second.
    """
    sequence, lsn = field("sequence"), field("lsn")
    commit = f"""coalesce(try_cast(split_part({sequence}, '"', 2) AS BIGINT), {lsn})"""
    change = f"""coalesce({lsn}, try_cast(split_part({sequence}, '"', 4) AS BIGINT))"""
    return [commit, change]


def _mysql(field: Field) -> list[str]:
    """Number of the binary log file, position of the event in it, row within the event.

    A snapshot read without a file (the log is off) is older than any event.
    """
    number = f"try_cast(nullif(regexp_extract({field('file')}, '[0-9]+$'), '') AS BIGINT)"
    is_read = f"coalesce({field('snapshot')}, 'false') <> 'false' AND coalesce({field('file')}, '') = ''"
    return [f"CASE WHEN {is_read} THEN 0 ELSE {number} END", field("pos"), f"coalesce({field('row')}, 0)"]


def _mongodb(field: Field) -> list[str]:
    """Both parts of the timestamp in MongoDB's log, its second and a number within the second; then the place in a transaction.

    All changes of a transaction have the same timestamp. Older versions of Debezium number them (`tord`); for others see
    `after_offsets`. The field `h` is the operation's hash, and gives no order.
    """
    return [f"{field('ts_ms')} // 1000", field("ord"), f"coalesce({field('tord')}, 0)"]


def _sqlserver(field: Field) -> list[str]:
    """The three parts of the commit's position, those of the change's, and the number of the event in the change.

    Snapshot reads have only the first. The numbers are hexadecimal.
    """
    commit = _hexadecimal_parts(field("commit_lsn"), ":")
    change = [f"coalesce({part}, 0)" for part in _hexadecimal_parts(field("change_lsn"), ":")]
    return [*commit, *change, f"coalesce({field('event_serial_no')}, 0)"]


def _informix(field: Field) -> list[str]:
    return [field("commit_lsn"), f"coalesce({field('change_lsn')}, 0)"]


def _oracle(field: Field) -> list[str]:
    """System change number of the commit and of the change, the three parts of the redo record, and the number within it.

    Snapshot reads have only one number.
    """
    commit = f"coalesce({field('commit_scn')}, {field('scn')})"
    record = [f"coalesce({part}, 0)" for part in _hexadecimal_parts(field("rs_id"), ".")]
    return [commit, field("scn"), *record, f"coalesce({field('ssn')}, 0)"]


def _yashandb(field: Field) -> list[str]:
    return [field("position_scn"), field("group_lsn"), field("group_offset"), f"coalesce({field('batch_row_id')}, 0)"]


def _hexadecimal_parts(text: str, separator: str) -> list[str]:
    parts = [f"regexp_replace(trim(split_part({text}, '{separator}', {part})), '^0[xX]', '')" for part in (1, 2, 3)]
    return [f"try_cast('0x' || {part} AS BIGINT)" for part in parts]


_MYSQL = Positions({"file": "VARCHAR", "pos": "BIGINT", "row": "BIGINT", "snapshot": "VARCHAR"}, _mysql)
_SQLSERVER = Positions({"commit_lsn": "VARCHAR", "change_lsn": "VARCHAR", "event_serial_no": "BIGINT"}, _sqlserver)

POSITIONS: Mapping[Connector, Positions] = {
    "postgresql": Positions({"sequence": "VARCHAR", "lsn": "BIGINT"}, _postgresql),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "mongodb": Positions({"ord": "BIGINT", "tord": "BIGINT"}, _mongodb, table="collection", are_shared=True),
    "sqlserver": _SQLSERVER,
    "db2": _SQLSERVER,
    "oracle": Positions({"commit_scn": "BIGINT", "scn": "BIGINT", "rs_id": "VARCHAR", "ssn": "BIGINT"}, _oracle),
    "informix": Positions({"commit_lsn": "BIGINT", "change_lsn": "BIGINT"}, _informix),
    "yashandb": Positions(
        {"position_scn": "BIGINT", "group_lsn": "BIGINT", "group_offset": "BIGINT", "batch_row_id": "BIGINT"}, _yashandb
    ),
}
"""How each connector gives positions."""


def after_offsets(query: str, files: Collection[LandedFile]) -> str:
    """Write the query that appends the offset of an object's first record to its records' positions; 0 if it is unknown.

    Args:
        query: A query of parsed records.
        files: Their files.
    """
    offsets = ", ".join(f"({literal(str(file.path))}, {(position(file.info.key) or (0, 0))[1]}::BIGINT)" for file in files)
    placed = "CASE WHEN _sequence IS NOT NULL THEN list_append(_sequence, _offset) END"
    return f"""
WITH objects(_path, _offset) AS (VALUES {offsets})
SELECT * EXCLUDE (_offset) REPLACE ({placed} AS _sequence) FROM ({query}) JOIN objects USING (_path)"""
