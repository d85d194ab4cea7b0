"""Keys: whether two good rows of a partition share one.

Belongs here: the check, with a fast path for most cases. Does not belong here: other unique columns (`hits`).
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from assay.contracts import Table
from assay.contracts.rules import Rule, quote
from assay.contracts.severity import Severity
from assay.engine.relations import PARTITION
from assay.engine.staging import STAGED
from assay.quality.flagging import PROVEN

KEY_RULE = "key_unique"
"""The rule that no two published rows of a partition share a key; breaking it stops the partition."""


def duplicate_keys(connection: duckdb.DuckDBPyConnection, table: Table, rules: tuple[Rule, ...], is_one: bool) -> dict[str, int]:
    """Count the rows that repeat a key, by partition, not counting the first of each.

    The exact query runs only when comparing neighbours is not conclusive.

    Args:
        connection: A connection with `staged` and `proven`.
        table: Their table.
        rules: Every row rule.
        is_one: Whether there is only one partition.
    """
    key = [quote(name) for name in table.key]
    fixed = any(rule.severity is Severity.FIX and set(rule.columns) & set(table.key) for rule in rules)
    if not fixed and _keys_rise(connection, key if is_one else [PARTITION, *key]):
        return {}
    by = ", ".join((PARTITION, *key))
    good = f"FROM {PROVEN} WHERE NOT _broken"
    rows = connection.execute(
        f"SELECT {PARTITION}, sum(n - 1) FROM (SELECT {by}, count(*) AS n {good} GROUP BY ALL HAVING n > 1) GROUP BY 1"
    ).fetchall()
    return {str(partition): int(surplus) for partition, surplus in rows}


def _keys_rise(connection: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> bool:
    """Whether each staged row's key is greater than that of the row before it, so that no key occurs twice.

    Rows are staged in the order of their keys. If DuckDB returns them in another order, or if a key is null, the answer is no.
    """
    before = ", ".join(f"lag({column}) OVER () AS before_{place}" for place, column in enumerate(columns))
    own = ", ".join(f"{column} AS own_{place}" for place, column in enumerate(columns))
    # Column by column, because comparing whole rows takes DuckDB far longer.
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
