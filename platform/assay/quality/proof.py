"""The proof: all rules of a contract, the split and the content hash, in one scan of the staged rows.

Belongs here: judging staged rows and saying which partitions may be published. Does not belong here: writing quarantine
(`quarantine`), counting inputs (`accounting`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import duckdb

from assay.contracts import Table
from assay.contracts.rules import Rule, quote
from assay.contracts.severity import Severity
from assay.contracts.version import fingerprint
from assay.engine.project import Node
from assay.engine.relations import PARTITION
from assay.engine.staging import STAGED, cast_rules
from assay.quality.books import Books, Side
from assay.quality.held_back import HEALED_RULE, HeldBack

PROVEN = "proven"
"""The relation of staged rows after fixes, with `_broken` true for what goes to quarantine."""
KEY_RULE = "key_unique"
"""The rule that no two published rows of a partition have one key; breaking it stops the partition."""


@dataclass(frozen=True)
class Verdict:
    """What the proof says of one partition.

    Attributes:
        rows: Staged rows, and those held back.
        good: Rows that may be published.
        broken: Rows that broke each rule, by rule, those above zero.
        score: Share of rows that broke no rule but such that only warn, 0 to 100.
        content: Hash of the good rows, whatever their order.
        refused: Hash of the other rows, whatever their order.
        books: Its books.
        problems: Why it may not be published; empty when it may.
    """

    rows: int
    good: int
    broken: Mapping[str, int]
    score: float
    content: str
    refused: str
    books: Books
    problems: tuple[str, ...] = field(default=())

    @property
    def quarantined(self) -> int:
        """Rows that go to quarantine."""
        return self.rows - self.good


def all_rules(node: Node) -> tuple[Rule, ...]:
    """Every row rule of a table: that values fit their types, then its contract's."""
    return cast_rules(node) + node.table.rules


def prove(
    connection: duckdb.DuckDBPyConnection,
    node: Node,
    partitions: Collection[str],
    received: Mapping[str, Books],
    held_back: Mapping[str, HeldBack] | None = None,
) -> dict[str, Verdict]:
    """Judge every staged partition, and leave `proven` behind for publishing.

    Args:
        connection: Where `staged` is.
        node: The table.
        partitions: The partitions that were computed; one without rows is judged too.
        received: By partition, books with what came in, was superseded, was deleted and is held back.
        held_back: By partition, the rows that never reached the SQL.

    Returns:
        The verdict by partition.
    """
    rules = all_rules(node)
    _create_proven(connection, rules)
    measured = _scan(connection, node.table, rules)
    duplicates = _duplicate_keys(connection, node.table, rules)
    return {
        partition: _verdict(
            node.table,
            rules,
            measured.get(partition, _Measured()),
            duplicates.get(partition, 0),
            received.get(partition, Books()),
            (held_back or {}).get(partition, HeldBack()),
        )
        for partition in partitions
    }


@dataclass(frozen=True)
class _Measured:
    rows: int = 0
    good: int = 0
    flawless: int = 0
    content: int = 0
    refused: int = 0
    accounted: int = 0
    accounted_good: int = 0
    money: Decimal = Decimal(0)
    money_good: Decimal = Decimal(0)
    broken: tuple[int, ...] = ()


def _create_proven(connection: duckdb.DuckDBPyConnection, rules: tuple[Rule, ...]) -> None:
    fixes: dict[str, list[str]] = {}
    for rule in rules:
        if rule.severity is Severity.FIX:
            for column in rule.columns:
                fixes.setdefault(column, []).append(f"({rule.predicate}) IS FALSE")
    replaced = ", ".join(
        f"CASE WHEN NOT ({' OR '.join(tests)}) THEN {quote(column)} END AS {quote(column)}" for column, tests in fixes.items()
    )
    flags = "".join(
        f", ({rule.predicate}) IS FALSE AS {_flag(place)}" for place, rule in enumerate(rules) if rule.severity is Severity.FIX
    )
    fixed = f"SELECT *{f' REPLACE ({replaced})' if replaced else ''}{flags} FROM {STAGED}"
    judged = "".join(
        f", ({rule.predicate}) IS FALSE AS {_flag(place)}"
        for place, rule in enumerate(rules)
        if rule.severity is not Severity.FIX
    )
    refusing = [_flag(place) for place, rule in enumerate(rules) if rule.severity is Severity.QUARANTINE]
    connection.execute(
        f"CREATE OR REPLACE VIEW {PROVEN} AS SELECT *, {' OR '.join(refusing) or 'false'} AS _broken "
        f"FROM (SELECT *{judged} FROM ({fixed}))"
    )


def _flag(place: int) -> str:
    return f"_breaks_{place}"


def breaks(rules: tuple[Rule, ...]) -> dict[str, str]:
    """Name, by rule, of the column of `proven` that says that a row breaks it."""
    return {rule.name: _flag(place) for place, rule in enumerate(rules)}


def _scan(connection: duckdb.DuckDBPyConnection, table: Table, rules: tuple[Rule, ...]) -> dict[str, _Measured]:
    row_hash = _row_hash(table)
    flags = list(breaks(rules).values())
    money = money_out(table)
    # Without a balance each row accounts for itself.
    accounted = table.balance.rows if table.balance else None
    accounted_all = f"coalesce(sum({accounted}), 0)::BIGINT" if accounted else "count(*)"
    accounted_good = (
        f"coalesce(sum({accounted}) FILTER (NOT _broken), 0)::BIGINT" if accounted else "count(*) FILTER (NOT _broken)"
    )
    counts = "".join(f", count(*) FILTER ({flag})" for flag in flags)
    counting = [flag for rule, flag in zip(rules, flags, strict=True) if rule.severity is not Severity.WARN]
    flawless = f"count(*) FILTER (NOT ({' OR '.join(counting)}))" if counting else "count(*)"
    rows = connection.execute(
        f"SELECT {PARTITION}, count(*), count(*) FILTER (NOT _broken), {flawless}, "
        f"coalesce(sum({row_hash}) FILTER (NOT _broken), 0)::HUGEINT, "
        f"coalesce(sum({row_hash}) FILTER (_broken), 0)::HUGEINT, "
        f"{accounted_all}, {accounted_good}, "
        f"coalesce(sum({money}), 0), coalesce(sum({money}) FILTER (NOT _broken), 0){counts} "
        f"FROM {PROVEN} GROUP BY {PARTITION}"
    ).fetchall()
    return {
        str(row[0]): _Measured(
            rows=row[1],
            good=row[2],
            flawless=row[3],
            content=row[4],
            refused=row[5],
            accounted=row[6],
            accounted_good=row[7],
            money=Decimal(row[8]),
            money_good=Decimal(row[9]),
            broken=tuple(row[10:]),
        )
        for row in rows
        if row[0] is not None
    }


def published_content(connection: duckdb.DuckDBPyConnection, table: Table, rows: str, score: float) -> str:
    """Hash published rows as the proof hashes staged ones.

    Args:
        connection: Where the rows are.
        table: Their table.
        rows: A relation with the table's columns.
        score: The quality score they were published with.
    """
    found = connection.execute(f"SELECT count(*), coalesce(sum({_row_hash(table)}), 0)::HUGEINT FROM {rows}").fetchone()
    assert found is not None
    return _content(table, int(found[0]), int(found[1]), score)


def _row_hash(table: Table) -> str:
    return f"hash({', '.join(quote(spec.name) for spec in table.columns)})"


def _content(table: Table, rows: int, hashed: int, score: float) -> str:
    return fingerprint([rows, hashed, score, table.version])


def money_out(table: Table) -> str:
    """Expression for the money that a row of a table accounts for."""
    if table.balance is not None and table.balance.money_out is not None:
        return f"({table.balance.money_out})::DECIMAL(38,4)"
    return f"{quote(table.money)}::DECIMAL(38,4)" if table.money else "0::DECIMAL(38,4)"


def counts_money(table: Table) -> bool:
    """Whether a table's books are kept in money too."""
    return table.money is not None or (table.balance is not None and table.balance.money_out is not None)


def _duplicate_keys(connection: duckdb.DuckDBPyConnection, table: Table, rules: tuple[Rule, ...]) -> dict[str, int]:
    """Surplus rows by partition. The exact question is asked only when a look at neighbours says that it must be."""
    key = [quote(name) for name in table.key]
    fixed = any(rule.severity is Severity.FIX and set(rule.columns) & set(table.key) for rule in rules)
    if not fixed and _keys_rise(connection, key):
        return {}
    by = ", ".join((PARTITION, *key))
    good = f"FROM {PROVEN} WHERE NOT _broken"
    rows = connection.execute(
        f"SELECT {PARTITION}, sum(n - 1) FROM (SELECT {by}, count(*) AS n {good} GROUP BY ALL HAVING n > 1) GROUP BY 1"
    ).fetchall()
    return {str(partition): int(surplus) for partition, surplus in rows}


def _keys_rise(connection: duckdb.DuckDBPyConnection, key: list[str]) -> bool:
    """Whether each staged row's key is above that of the row before it, so that none can be there twice.

    Rows are staged in the order of their keys. Should DuckDB hand them out otherwise, or should a key be null, the answer is no.
    """
    columns = (PARTITION, *key)
    before = ", ".join(f"lag({column}) OVER () AS before_{place}" for place, column in enumerate(columns))
    own = ", ".join(f"{column} AS own_{place}" for place, column in enumerate(columns))
    # One after another, because comparing whole rows takes DuckDB far longer.
    tests, equal = [], "true"
    for place in range(len(columns)):
        tests.append(f"({equal} AND own_{place} > before_{place})")
        equal = f"{equal} AND own_{place} = before_{place}"
    rises = " OR ".join(tests)
    found = connection.execute(
        f"SELECT count(*), count(*) FILTER ({rises}) FROM (SELECT {own}, {before} FROM {STAGED})"
    ).fetchone()
    assert found is not None
    return int(found[1]) >= int(found[0]) - 1


def _verdict(
    table: Table, rules: tuple[Rule, ...], measured: _Measured, duplicates: int, received: Books, held_back: HeldBack
) -> Verdict:
    counts = measured.broken or (0,) * len(rules)
    broken = {rule.name: count for rule, count in zip(rules, counts, strict=True) if count}
    if duplicates:
        broken[KEY_RULE] = duplicates
    if held_back.rows:
        broken[HEALED_RULE] = held_back.rows
    rows = measured.rows + held_back.rows
    score = round(100 * measured.flawless / rows, 4) if rows else 100.0
    books = Books(
        rows=_closed(received.rows, measured.accounted, measured.accounted_good),
        money=_closed(received.money, measured.money, measured.money_good),
        healing=received.healing,
    )
    return Verdict(
        rows=rows,
        good=measured.good,
        broken=broken,
        score=score,
        content=_content(table, measured.good, measured.content, score),
        refused=fingerprint([rows - measured.good, measured.refused + held_back.hashed, table.version]),
        books=books,
        problems=_problems(table, rules, broken, rows, score, books),
    )


def _closed(received: Side, accounted: int | Decimal, good: int | Decimal) -> Side:
    return Side(
        received=received.received,
        published=Decimal(good),
        quarantined=Decimal(accounted) - Decimal(good) + received.quarantined,
        superseded=received.superseded,
        deleted=received.deleted,
    )


def _problems(
    table: Table, rules: tuple[Rule, ...], broken: Mapping[str, int], rows: int, score: float, books: Books
) -> tuple[str, ...]:
    problems = [
        f"{broken[rule.name]:,} rows break {rule.name} ({rule.reason}), which stops a partition"
        for rule in rules
        if rule.severity is Severity.STOP and rule.name in broken
    ]
    if KEY_RULE in broken:
        problems.append(f"{broken[KEY_RULE]:,} rows repeat a key ({', '.join(table.key)})")
    if not table.is_good_enough(rows, score):
        problems.append(f"the quality score is {score:.2f}, below the threshold of {table.threshold:g}")
    if books.rows.difference:
        problems.append(f"the books do not balance: {int(books.rows.difference):,} rows are unaccounted for")
    if books.money.difference:
        problems.append(f"the books do not balance: {books.money.difference} of money are unaccounted for")
    return tuple(problems)
