"""Exact arithmetic: division without floats, and the formulas of derived metrics.

Belongs here: dividing numbers, and the syntax of formulas. Does not belong here: metrics (`expressions`).

DuckDB divides decimals as floats. Here both sides become whole numbers, and the quotient is rounded once, half away from zero,
and becomes a decimal again. Counts stay BIGINT, which suffices for shares of 46 billion rows; beyond that DuckDB fails rather
than giving a wrong number. Money is BIGINT in rows where it is small enough, as nearly always, and HUGEINT otherwise: that takes
fifteen times as long, and used everywhere would make quotients half the cost of a mart.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

MONEY_PLACES = 4
"""Decimals of an average of money."""
SHARE_PLACES = 8
"""Decimals of a ratio, a share or a growth."""


def scale_of(sql_type: str) -> int | None:
    """Decimals of an exact type, or None for a type that is not exact."""
    if sql_type == "BIGINT":
        return 0
    found = re.fullmatch(r"DECIMAL\(\d+,(\d+)\)", sql_type)
    return int(found.group(1)) if found else None


def divide(above: str, above_type: str, below: str, below_type: str, places: int, *, signed: bool = False) -> str:
    """Write an exact quotient.

    Args:
        above: The dividend.
        above_type: Its type.
        below: The divisor; not negative. The quotient is null where it is zero.
        below_type: Its type.
        places: Decimals of the quotient, of type `DECIMAL(38,places)`.
        signed: Whether a whole-number dividend may be negative; money always may.
    """
    above_scale, below_scale = scale_of(above_type) or 0, scale_of(below_type) or 0
    if above_scale == below_scale == 0:
        half = f"sign({above}) * {below}" if signed else below
        return f"CAST(({2 * 10**places} * {above} + {half}) // nullif(2 * {below}, 0) AS HUGEINT) * {_unit(places)}"
    # Both sides in whole units of the finer one. A count needs no conversion if the quotient's decimals make up for it.
    units = max(above_scale, below_scale)
    is_plain = below_scale == 0 and above_scale <= places
    factor, units_below = (2 * 10 ** (places - units), 0) if is_plain else (2 * 10**places, units)
    sign = f"sign({above}) * " if above_scale or signed else ""

    def quotient(upper: str, lower: str) -> str:
        return f"({factor} * {upper} + {sign}{lower}) // nullif(2 * {lower}, 0)"

    wide = quotient(_wide(above, units), _wide(below, units_below))
    narrow = quotient(_narrow(above, above_scale, units), _narrow(below, below_scale, units_below))
    is_little = f"abs({above}) < {min(10 ** (18 - above_scale - units), 9 * 10**18 // (factor * 10**units))}"
    if units_below:
        is_little += f" AND {below} < {10 ** (min(16, 18 - below_scale) - units_below)}"
    return f"CASE WHEN {is_little} THEN CAST({narrow} AS HUGEINT) ELSE {wide} END * {_unit(places)}"


def _wide(value: str, units: int) -> str:
    return f"CAST({value} * {10**units} AS HUGEINT)" if units else value


def _narrow(value: str, scale: int, units: int) -> str:
    """A value in whole units as BIGINT.

    It is multiplied while still a decimal: the product has no fraction left, so that the cast does not have to divide.
    """
    if scale == 0:
        return f"{value} * {10**units}" if units else value
    return f"CAST(CAST({value} AS DECIMAL(18,{scale})) * {10**units} AS BIGINT)"


def _unit(places: int) -> str:
    return f"0.{'0' * (places - 1)}1"


def names_in(formula: str) -> tuple[str, ...]:
    """The metrics in a derived metric's formula.

    Raises:
        ValueError: It contains more than names, whole numbers, `+`, `-`, `*` and parentheses; the message says what.
    """
    try:
        tree = ast.parse(formula.strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"{formula!r} cannot be read ({error.msg})") from error
    found: dict[str, None] = {}
    _walk(tree, found)
    return tuple(found)


def _walk(node: ast.expr, found: dict[str, None]) -> None:
    match node:
        case ast.Name(id=name):
            found[name] = None
        case ast.Constant(value=bool()):
            raise ValueError(f"{ast.unparse(node)} is not a whole number")
        case ast.Constant(value=int()):
            pass
        case ast.BinOp(left=left, op=ast.Div() | ast.FloorDiv() | ast.Mod()):
            raise ValueError(f"{ast.unparse(node)} divides, which only a Ratio may, so that rounding is declared once")
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            if not isinstance(left, ast.Constant) and not isinstance(right, ast.Constant):
                raise ValueError(f"{ast.unparse(node)} multiplies two metrics, which gives no meaningful unit")
            _walk(left, found)
            _walk(right, found)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right):
            _walk(left, found)
            _walk(right, found)
        case _:
            raise ValueError(f"{ast.unparse(node)} is not allowed: use names of metrics, whole numbers, +, -, * and parentheses")


def substitute(formula: str, name: Callable[[str], str]) -> str:
    """A derived metric's formula as SQL."""
    return re.sub(r"[A-Za-z_][A-Za-z_0-9]*", lambda found: name(found.group(0)), formula.strip())
