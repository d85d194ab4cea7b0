"""The proof: all rules of a contract, the split and the content hash of staged rows.

Belongs here: judging staged rows and deciding which partitions may be published. Does not belong here: finding the rows that
break rules (`flagging`), counting them (`tally`), writing quarantine (`quarantine`), counting inputs (`accounting`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import duckdb

from assay.contracts import Table
from assay.contracts.dimension import Dimension
from assay.contracts.rules import Rule
from assay.contracts.severity import Severity
from assay.contracts.version import fingerprint
from assay.engine.project import Node, source_of
from assay.engine.staging import cast_rules
from assay.quality.around import Around
from assay.quality.books import Books, Side
from assay.quality.expectations import Judged, aggregates, judge, partition_rules
from assay.quality.flagging import bits
from assay.quality.held_back import HEALED_RULE, HeldBack
from assay.quality.hits import find_hits
from assay.quality.keys import KEY_RULE, duplicate_keys
from assay.quality.scores import RuleResult, Scores, counts_in_dimension, results, share
from assay.quality.tally import Sums, Tally, counts_money, hash_of, tally


@dataclass(frozen=True)
class Verdict:
    """The verdict on one partition.

    Attributes:
        rows: Number of staged and held-back rows.
        good: Number of rows that may be published.
        broken: Number of rows that broke a rule, by rule; rules without any are left out.
        at_risk: Their absolute money, by rule.
        scores: Its scores.
        content: Hash of the good rows, independent of order.
        refused: Hash of the other rows, independent of order.
        books: Its books.
        results: The result of every rule.
        problems: Why it may not be published; empty when it may.
    """

    rows: int
    good: int
    broken: Mapping[str, int]
    at_risk: Mapping[str, Decimal]
    scores: Scores
    content: str
    refused: str
    books: Books
    results: tuple[RuleResult, ...] = ()
    problems: tuple[str, ...] = field(default=())

    @property
    def score(self) -> float:
        """Share of rows that broke no rule other than warnings, 0 to 100."""
        return self.scores.score

    @property
    def quarantined(self) -> int:
        """Number of rows that go to quarantine."""
        return self.rows - self.good


def all_rules(node: Node) -> tuple[Rule, ...]:
    """Every rule about single rows: that values fit their types, then the contract's."""
    table = node.table
    beyond = tuple(each.rule(table.owner) for each in table.expectations.values() if each.is_of_rows)
    return cast_rules(node) + table.rules + beyond


def every_rule(node: Node) -> tuple[Rule, ...]:
    """Every rule of a table: those about single rows, and those about whole partitions."""
    return all_rules(node) + partition_rules(node.table) + own_rules(node)


def own_rules(node: Node) -> tuple[Rule, ...]:
    """The rules that every table has: that keys are unique, and that every value of a fold is known."""
    table = node.table
    key = ", ".join(table.key)
    rules = [
        Rule(KEY_RULE, "", Severity.STOP, table.key, f"no two rows have one {key}", Dimension.UNIQUENESS, table.owner),
    ]
    if any(source_of(relation) is not None for relation in node.inputs):
        said = "every value that a producer left out because it did not change is known"
        rules.append(Rule(HEALED_RULE, "", Severity.QUARANTINE, (), said, Dimension.COMPLETENESS, table.owner))
    return tuple(rules)


def prove(
    connection: duckdb.DuckDBPyConnection,
    node: Node,
    partitions: Collection[str],
    received: Mapping[str, Books],
    held_back: Mapping[str, HeldBack] | None = None,
    around: Around | None = None,
) -> dict[str, Verdict]:
    """Judge every staged partition, and leave `proven` and `flagged` behind for publishing and quarantine.

    Args:
        connection: A connection with `staged`.
        node: The table.
        partitions: The partitions that were staged; one without rows is judged too.
        received: By partition, books with the rows that came in, were superseded, were deleted and are held back.
        held_back: By partition, the rows that never reached the SQL.
        around: The surroundings; required for a table whose expectations need them.

    Returns:
        The verdicts by partition.
    """
    rules = _Rules.of(node)
    seen, known = around or Around(), aggregates(node.table)
    # Results refer to the rules as declared; those that no row breaks need no further evaluation.
    asked = find_hits(connection, node.table, rules.of_rows, seen)
    counted = tally(connection, node.table, asked, partitions, known)
    duplicates = duplicate_keys(connection, node.table, rules.of_rows, len(partitions) == 1)
    rows = {partition: found.every.rows for partition, found in counted.items()}
    figures = {partition: found.figures for partition, found in counted.items()}
    judged = judge(connection, node.table, partitions, rows, figures, seen)
    return {
        partition: _verdict(
            node,
            rules,
            counted.get(partition, Tally()),
            duplicates.get(partition, 0),
            received.get(partition, Books()),
            (held_back or {}).get(partition, HeldBack()),
            judged[partition],
        )
        for partition in partitions
    }


@dataclass(frozen=True)
class _Rules:
    """The rules of a table, grouped and numbered for the arithmetic.

    Attributes:
        of_rows: Those about single rows.
        every: All.
        refusing: Bits of the rules that send a row to quarantine.
        counting: Bits of the rules that count in scores.
        dimensions: By dimension that has rules: the bits of those about rows, and the names of the others.
    """

    of_rows: tuple[Rule, ...]
    every: tuple[Rule, ...]
    refusing: int
    counting: int
    dimensions: Mapping[Dimension, tuple[int, tuple[str, ...]]]

    @classmethod
    def of(cls, node: Node) -> _Rules:
        of_rows, own = all_rules(node), own_rules(node)
        dimensions = {}
        for dimension in Dimension:
            others = tuple(rule.name for rule in own if rule.dimension is dimension and counts_in_dimension(rule))
            chosen = [rule.dimension is dimension and counts_in_dimension(rule) for rule in of_rows]
            if others or any(chosen):
                dimensions[dimension] = (bits(chosen), others)
        return cls(
            of_rows=of_rows,
            every=every_rule(node),
            refusing=bits(rule.severity is Severity.QUARANTINE for rule in of_rows),
            counting=bits(rule.severity is not Severity.WARN for rule in of_rows),
            dimensions=dimensions,
        )


def published_content(connection: duckdb.DuckDBPyConnection, table: Table, rows: str, score: float) -> str:
    """Hash published rows in the same way as the proof hashes staged ones.

    Args:
        connection: A connection with the rows.
        table: Their table.
        rows: A relation with the table's columns.
        score: The quality score they were published with.
    """
    found = connection.execute(f"SELECT count(*), coalesce(sum({hash_of(table)}), 0)::HUGEINT FROM {rows}").fetchone()
    assert found is not None
    return _content(table, int(found[0]), int(found[1]), score)


def _content(table: Table, rows: int, hashed: int, score: float) -> str:
    return fingerprint([rows, hashed, score, table.version])


def _verdict(
    node: Node,
    rules: _Rules,
    counted: Tally,
    duplicates: int,
    received: Books,
    held_back: HeldBack,
    judged: Mapping[str, Judged],
) -> Verdict:
    table = node.table
    per_rule = {rule.name: counted.breaking(1 << place) for place, rule in enumerate(rules.of_rows)}
    # The money of held-back rows is known from the books only.
    per_rule[HEALED_RULE] = Sums(rows=held_back.rows, absolute=abs(received.money.quarantined))
    per_rule[KEY_RULE] = Sums(rows=duplicates)
    broken = {name: sums.rows for name, sums in per_rule.items() if sums.rows}
    at_risk = {name: per_rule[name].absolute for name in broken}
    every, good = counted.every, counted.without(rules.refusing)
    rows = every.rows + held_back.rows
    scores = _scores(table, rules, counted, per_rule)
    measured = {name: each.measured for name, each in judged.items() if each.measured is not None}
    unmet = {name: each.unmet for name, each in judged.items() if each.unmet}
    books = Books(
        rows=_closed(received.rows, every.accounted, good.accounted),
        money=_closed(received.money, every.money, good.money),
        healing=received.healing,
    )
    return Verdict(
        rows=rows,
        good=good.rows,
        broken=broken,
        at_risk=at_risk,
        scores=scores,
        content=_content(table, good.rows, good.hashed, scores.score),
        refused=fingerprint([rows - good.rows, every.hashed - good.hashed + held_back.hashed, table.version]),
        books=books,
        results=results(rules.every, broken, at_risk, measured, unmet),
        problems=_problems(table, rules.every, broken, unmet, rows, scores.score, books),
    )


def _scores(table: Table, rules: _Rules, counted: Tally, per_rule: Mapping[str, Sums]) -> Scores:
    """The scores of a partition; rows that are held back count as bad."""
    every, held_back = counted.every, per_rule[HEALED_RULE]
    rows, money = every.rows + held_back.rows, every.absolute + held_back.absolute
    flawless = counted.without(rules.counting)
    dimensions = {}
    for dimension, (of_rows, others) in rules.dimensions.items():
        broken = counted.breaking(of_rows).rows + sum(per_rule[name].rows for name in others)
        dimensions[dimension] = share(max(0, rows - broken), rows)
    return Scores(
        score=share(flawless.rows, rows),
        money_score=share(flawless.absolute, money) if counts_money(table) else None,
        dimensions=dimensions,
        money=money,
        money_at_risk=money - flawless.absolute,
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
    table: Table,
    rules: tuple[Rule, ...],
    broken: Mapping[str, int],
    unmet: Mapping[str, str],
    rows: int,
    score: float,
    books: Books,
) -> tuple[str, ...]:
    stopping = [rule for rule in rules if rule.severity is Severity.STOP and rule.name != KEY_RULE]
    problems = [
        f"{broken[rule.name]:,} rows break {rule.name} ({rule.reason}), which stops a partition"
        for rule in stopping
        if rule.name in broken
    ]
    problems += [f"{rule.name}: {unmet[rule.name]}" for rule in stopping if rule.name in unmet]
    if KEY_RULE in broken:
        problems.append(f"{broken[KEY_RULE]:,} rows repeat a key ({', '.join(table.key)})")
    if not table.is_good_enough(rows, score):
        problems.append(f"the quality score is {score:.2f}, below the threshold of {table.threshold:g}")
    if books.rows.difference:
        problems.append(f"the books do not balance: {int(books.rows.difference):,} rows are unaccounted for")
    if books.money.difference:
        problems.append(f"the books do not balance: {books.money.difference} of money are unaccounted for")
    return tuple(problems)
