"""Whether SQL computes the rows of each key independently, so that those of some keys can be computed alone.

Belongs here: deciding that from the parsed SQL. Does not belong here: reading SQL for its columns (`queries`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import sqlglot
from sqlglot import exp


def is_by_key(sql: str, key: Collection[str], relations: Collection[str]) -> bool:
    """Whether every GROUP BY and window over rows of some relations separates their keys.

    A self-join of a relation by anything but its key is not detected.

    Args:
        sql: The query.
        key: The columns of the key.
        relations: The relations, as in `latest.customers`.
    """
    query = sqlglot.parse_one(sql, dialect="duckdb")
    reads: dict[str, bool] = {}
    for cte in query.find_all(exp.CTE):
        reads[cte.alias] = any(_reads(select, reads, relations) for select in cte.this.find_all(exp.Select))
    wanted = {name.lower() for name in key}
    return all(
        wanted <= columns
        for select in query.find_all(exp.Select)
        if _reads(select, reads, relations)
        for columns in _told_apart_by(select)
    )


def _reads(select: exp.Select, ctes: dict[str, bool], relations: Collection[str]) -> bool:
    """Whether the FROM clause of a SELECT (not the subqueries in its expressions) reads a relation, directly or by a CTE."""
    origins = [select.args.get("from_"), *(select.args.get("joins") or ())]
    tables = (table for origin in origins if origin is not None for table in origin.find_all(exp.Table))
    return any(f"{table.db}.{table.name}" in relations if table.db else ctes.get(table.name, False) for table in tables)


def _told_apart_by(select: exp.Select) -> Iterator[set[str]]:
    """For each GROUP BY, window and plain aggregate of a SELECT: the columns by which it separates rows."""
    group = select.args.get("group")
    own = [each for each in select.find_all(exp.AggFunc, exp.Window) if each.parent_select is select]
    windows = [each for each in own if isinstance(each, exp.Window)]
    named = {each.name: each for each in select.args.get("windows") or ()}
    for window in windows:
        defined = named.get(window.alias, window)
        yield {column.name.lower() for part in defined.args.get("partition_by") or () for column in part.find_all(exp.Column)}
    in_windows = {id(each) for window in windows for each in window.find_all(exp.AggFunc)}
    if group is not None and group.args.get("all"):
        yield {
            column.name.lower() for each in select.selects if not each.find(exp.AggFunc) for column in each.find_all(exp.Column)
        }
    elif group is not None:
        yield {column.name.lower() for part in group.expressions for column in part.find_all(exp.Column)}
    elif any(isinstance(each, exp.AggFunc) and id(each) not in in_windows for each in own):
        yield set()
