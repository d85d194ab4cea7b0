"""Hits: the staged rows that break a rule about more than one row.

Belongs here: uniqueness, and references to other relations; each costs one scan of what it reads. Does not belong here: rules
about single rows (`flagging`), expectations of whole partitions (`expectations`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import duckdb

from assay.contracts import Table
from assay.contracts.expectation import hits_of
from assay.contracts.expectations import Refers, Unique, UniqueAcross
from assay.contracts.rules import Rule, quote
from assay.engine.relations import PARTITION
from assay.engine.staging import STAGED
from assay.quality.around import Around
from assay.quality.flagging import PROVEN, ROW, mark

_HITS = "hits"
"""The table of the numbers of rows that break the rule being evaluated."""


def find_hits(connection: duckdb.DuckDBPyConnection, table: Table, rules: Sequence[Rule], around: Around) -> tuple[Rule, ...]:
    """Set aside the rows that break rules about more than one row.

    Args:
        connection: A connection with `staged`.
        table: Its table.
        rules: Every rule about rows.
        around: The surroundings, in which other relations are bound.

    Returns:
        The rules; those that no row breaks cost nothing from here on.
    """
    found = []
    for rule in rules:
        expectation = table.expectations.get(rule.name)
        if expectation is None:
            found.append(rule)
            continue
        connection.execute(f"CREATE OR REPLACE TABLE {_HITS} ({ROW} BIGINT)")
        if isinstance(expectation, Unique):
            connection.execute(f"INSERT INTO {_HITS} {_repeated(expectation)}")
        elif isinstance(expectation, Refers):
            assert around.others is not None
            main = main_of(connection)
            around.others.execute(f"INSERT INTO {main}.{_HITS} {_unmatched(expectation, table, main)}")
        is_broken = mark(connection, hits_of(rule.name), f"FROM {_HITS}")
        found.append(rule if is_broken else replace(rule, predicate="true"))
    return tuple(found)


def repeated_across(connection: duckdb.DuckDBPyConnection, table: Table, each: UniqueAcross, around: Around) -> dict[str, int]:
    """By staged partition, how many values of its good rows also occur in another partition."""
    assert around.others is not None
    columns = ", ".join(quote(name) for name in each.columns)
    known = " AND ".join(f"{quote(name)} IS NOT NULL" for name in each.columns)
    mine = f"SELECT DISTINCT {PARTITION}, {columns} FROM {main_of(connection)}.{PROVEN} WHERE NOT _broken AND {known}"
    rows = around.others.execute(
        f"WITH mine AS MATERIALIZED ({mine}), "
        f"others AS (SELECT DISTINCT {columns} FROM {table.full_name} SEMI JOIN mine USING ({columns})), "
        f"often AS (SELECT {columns} FROM (SELECT {columns} FROM mine UNION ALL FROM others) GROUP BY ALL HAVING count(*) > 1) "
        f"SELECT {PARTITION}, count(*) FROM mine SEMI JOIN often USING ({columns}) GROUP BY 1"
    ).fetchall()
    return {str(partition): int(count) for partition, count in rows}


def main_of(connection: duckdb.DuckDBPyConnection) -> str:
    """The name of a connection's database, for use from another."""
    found = connection.execute("SELECT current_database()").fetchone()
    assert found is not None
    return f"{quote(str(found[0]))}.main"


def _repeated(each: Unique) -> str:
    columns = ", ".join(quote(name) for name in each.columns)
    often = f"SELECT {PARTITION}, {columns} FROM {STAGED} GROUP BY ALL HAVING count(*) > 1"
    names = (PARTITION, *(quote(name) for name in each.columns))
    same = " AND ".join(f"own.{name} IS NOT DISTINCT FROM often.{name}" for name in names)
    return f"SELECT own.rowid FROM {STAGED} AS own SEMI JOIN ({often}) AS often ON {same}"


def _unmatched(each: Refers, table: Table, main: str) -> str:
    known = " AND ".join(f"own.{quote(name)} IS NOT NULL" for name in each.own_columns)
    same = [f"own.{quote(mine)} = other.{quote(theirs)}" for mine, theirs in each.columns.items()]
    if each.at is not None:
        at = quote(each.at)
        # A day matches if any of its moments does.
        by = f"own.{at} + INTERVAL 1 DAY >" if table.types[each.at] == "DATE" else f"own.{at} >="
        same += [f"{by} other.valid_from", f"(other.valid_to IS NULL OR other.valid_to > own.{at})"]
    own = ", ".join(quote(name) for name in dict.fromkeys(each.own_columns))
    return (
        f"SELECT {ROW} FROM (SELECT rowid AS {ROW}, {own} FROM {main}.{STAGED}) AS own "
        f"ANTI JOIN {each.to} AS other ON {' AND '.join(same)} WHERE {known}"
    )
