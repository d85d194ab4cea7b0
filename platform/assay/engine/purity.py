"""Purity: a table's SQL must give the same rows from the same inputs, whenever and wherever it runs.

Belongs here: detecting what in a query depends on anything else. Does not belong here: parsing SQL and what it reads (`queries`).

A partition is published once and recomputed by `assay verify`, by a rebuild and after a late file. SQL that reads the clock,
draws a random number, reads other files, or limits rows without an order, would then give different rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import sqlglot
from sqlglot import Token, TokenType, exp

from assay.errors import SqlError

_BARE = frozenset({"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"})
"""Functions that read the clock and are called without parentheses."""
_CLOCK = _BARE | {"get_current_time", "get_current_timestamp", "now", "today", "transaction_timestamp"}
_CHANCE = frozenset({"gen_random_uuid", "nextval", "rand", "random", "uuid", "uuidv4", "uuidv7"})
_ROWS = frozenset({"generate_series", "pg_timezone_names", "range", "unnest"})
"""Table functions whose rows depend only on their arguments and DuckDB's version."""


def require_pure(path: Path, text: str, query: exp.Query) -> None:
    """Reject a query whose rows depend on anything but the relations it reads.

    Args:
        path: Its file.
        text: The file's text.
        query: The parsed query.

    Raises:
        SqlError: It reads the clock, draws a random number, reads files, or keeps an arbitrary subset of rows.
    """
    tokens = sqlglot.tokenize(text, dialect="duckdb")
    for token in _changing(tokens):
        name = token.text.lower()
        if name in _CLOCK:
            raise SqlError(
                f"{path}:{token.line}: {name} returns a different instant each time the table is computed",
                hint="take the time from a column, such as an event's _ingested_at or the partition's day",
            )
        raise SqlError(
            f"{path}:{token.line}: {name} returns a different value each time the table is computed",
            hint="derive the value from the row, as with hash(key) or md5(key)",
        )
    for table in query.find_all(exp.Table):
        function = table.this
        if isinstance(function, exp.Func) and _name_of(function) not in _ROWS:
            name = _name_of(function)
            raise SqlError(
                f"{path}:{_line_of(tokens, name)}: {name}() reads something other than the lake's partitions",
                hint="declare a source for it, and read latest.<source>",
            )
    for part in query.find_all(exp.Limit, exp.Fetch, exp.TableSample):
        kept = part.parent
        if isinstance(part, exp.TableSample) or (kept is not None and not kept.args.get("order")):
            word = part.key.upper().replace("TABLESAMPLE", "SAMPLE")
            raise SqlError(
                f"{path}:{_line_of(tokens, word)}: {word} without an order keeps different rows each time",
                hint="add ORDER BY with columns that are unique to each row, or leave it out",
            )


def why_impure(expression: str) -> str:
    """Why the value of an expression depends on anything but the row it is computed for; empty if it does not."""
    tokens = sqlglot.tokenize(expression, dialect="duckdb")
    changing = next(_changing(tokens), None)
    if changing is not None:
        return f"{changing.text.lower()} gives another value each time"
    kinds = [token.token_type for token in tokens]
    if TokenType.SELECT in kinds or (TokenType.L_PAREN, TokenType.FROM) in pairwise(kinds):
        return "it reads other rows"
    return ""


def _changing(tokens: list[Token]) -> Iterator[Token]:
    """The names of called functions that read the clock or draw random numbers."""
    for token, following in zip(tokens, [*tokens[1:], None], strict=False):
        if token.text.lower() in _CLOCK | _CHANCE and _is_called(token, following):
            yield token


def _is_called(token: Token, following: Token | None) -> bool:
    """Whether a word is a function call, and not a column of that name."""
    if token.token_type is TokenType.IDENTIFIER:
        return False
    return token.text.lower() in _BARE or (following is not None and following.token_type is TokenType.L_PAREN)


def _name_of(function: exp.Func) -> str:
    return (function.name if isinstance(function, exp.Anonymous) else function.sql_name()).lower()


def _line_of(tokens: list[Token], word: str) -> int:
    return next((token.line for token in tokens if token.text.lower() == word.lower()), 1)
