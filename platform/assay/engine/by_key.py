"""Whether SQL computes the rows of each key for themselves, so that those of some keys can be computed alone.

Belongs here: what the parsed SQL says of that. Does not belong here: reading SQL for its columns (`queries`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import sqlglot
from sqlglot import exp


def is_by_key(sql: str, key: Collection[str], relations: Collection[str]) -> bool:
    """Whether nothing in a query groups, or looks around in, rows of some relations without telling their keys apart.

    A relation that is joined with itself by something else than its key is not seen.

    Args:
        sql: The query.
        key: The columns of the key.
        relations: Those relations, as in `latest.customers`.
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
    """Whether what a SELECT is from, and not only what its expressions ask, is any of some relations or made of one."""
    origins = [select.args.get("from_"), *(select.args.get("joins") or ())]
    tables = (table for origin in origins if origin is not None for table in origin.find_all(exp.Table))
    return any(f"{table.db}.{table.name}" in relations if table.db else ctes.get(table.name, False) for table in tables)


def _told_apart_by(select: exp.Select) -> Iterator[set[str]]:
    """The columns that rows are told apart by, in each place where a SELECT looks at several."""
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
