"""Decoding the values of Debezium events.

Belongs here: expressions from a value as it was sent to text that casts to the declared type, and the placeholders of values that
were not sent. Does not belong here: messages (`messages`), casting (`batches.casts`).

An expression returns a value that it does not understand unchanged, for `batches.typed` to reject with the column's name. Nothing
is guessed: `1234` may be a number or the base64 of another, and seconds of a minute in 1970 may be days of another century.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from assay.contracts.columns import ColumnSpec
from assay.contracts.rules import literal
from assay.landing.formats import Debezium, TimePrecision
from assay.landing.sql import text_list

Family = Literal["decimal", "whole", "inexact", "date", "time", "timestamp", "instant", "bytes", "plain"]
"""Groups of declared types that are decoded alike."""

_FAMILIES: dict[str, Family] = {
    "SMALLINT": "whole",
    "INTEGER": "whole",
    "BIGINT": "whole",
    "FLOAT": "inexact",
    "DOUBLE": "inexact",
    "DATE": "date",
    "TIME": "time",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "instant",
    "BLOB": "bytes",
}
_NUMBERS: tuple[Family, ...] = ("decimal", "whole", "inexact")
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_EXACT_DIGITS = 15
"""Significant digits of any decimal number that a double preserves."""
_LONGEST_DOUBLE = 24
"""Length of the longest text of a double; a longer text was already a string in the document."""

_DECIMAL_TYPE = "org.apache.kafka.connect.data.Decimal"
_BITS_TYPE = "io.debezium.data.Bits"
_DAYS = ("io.debezium.time.Date", "org.apache.kafka.connect.data.Date")
_PRECISIONS: dict[str, TimePrecision] = {
    "io.debezium.time.Timestamp": "milliseconds",
    "org.apache.kafka.connect.data.Timestamp": "milliseconds",
    "io.debezium.time.MicroTimestamp": "microseconds",
    "io.debezium.time.NanoTimestamp": "nanoseconds",
    "io.debezium.time.Time": "milliseconds",
    "org.apache.kafka.connect.data.Time": "milliseconds",
    "io.debezium.time.MicroTime": "microseconds",
    "io.debezium.time.NanoTime": "nanoseconds",
}
"""Precision by type name in a message's schema."""

_TEMPORAL = (*_DAYS, *_PRECISIONS)

_INFINITY = ("9223372036825200000", "9223372036825200", "9223372036854775807")
_BEFORE_ALL = ("-9223372036832400000", "-9223372036832400", "-9223372036854775808")
"""PostgreSQL's infinite timestamps, as its driver sends them and as the largest integers."""

_FIRST_DAY, _LAST_DAY = -719_528, 2_932_896
"""Days since 1970 of the first and last day of the years 0 to 9999."""

NUMBER = "the number, exactly"
"""Field name of the object that replaces a number of many digits."""


def family(spec: ColumnSpec) -> Family:
    """The family of a column's type."""
    if spec.sql_type.startswith("DECIMAL"):
        return "decimal"
    return _FAMILIES.get(spec.sql_type, "plain")


def is_encoded(spec: ColumnSpec) -> bool:
    """Whether decoding a value needs more than its text."""
    return family(spec) != "plain"


def may_be_unchanged(spec: ColumnSpec) -> bool:
    """Whether a column's values may be so long that a database stores them out of line, and omits them if unchanged."""
    return family(spec) in ("plain", "bytes", "decimal")


def is_number(spec: ColumnSpec) -> bool:
    """Whether a column holds numbers."""
    return family(spec) in _NUMBERS


@dataclass(frozen=True)
class Described:
    """A message schema's description of a value.

    Attributes:
        kind: Name of its type, if it has one.
        scale: The scale of a decimal.
    """

    kind: str | None
    scale: str | None


@dataclass(frozen=True)
class Sent:
    """Expressions for a message's parts about one value.

    Attributes:
        text: The value as text; nested values as JSON.
        is_text: Whether it is also a string in the document; evaluated only if needed.
        digits: All digits of a number with more digits than `text` keeps; null for any other.
        kind: Name of its type in the message's schema; null if the schema gives none.
        scale: The scale in the schema, as text.
        is_described: Whether the message has a schema that describes the value.
        base64: The first expression of `base64_number`.
        base64_scale: The second expression of `base64_number`.
    """

    text: str
    is_text: str
    digits: str
    kind: str
    scale: str
    is_described: str
    base64: str
    base64_scale: str


def decoded(sent: Sent, spec: ColumnSpec, form: Debezium) -> str:
    """Write the expression for a value's decoded text."""
    kind = family(spec)
    text = unwrapped(sent.text, kind) if form.connector == "mongodb" else sent.text
    if kind in _NUMBERS:
        return _number(sent, text, spec, form)
    declared = _declared(text, spec, form)
    described = [name for name in _TEMPORAL if _is_described_by(kind, name)]
    if not described:
        return declared
    cases = " ".join(f"WHEN {literal(name)} THEN {_described(text, spec, name)}" for name in described)
    return f"CASE {sent.kind} {cases} ELSE {declared} END"


def quickly(text: str, spec: ColumnSpec, form: Debezium, described: Described | None) -> tuple[str, str | None]:
    """Write the expression for a value's text if its schema is known beforehand, and the condition on which that is not enough.

    Args:
        text: The value as DuckDB's JSON reader returns it: numbers and strings look alike, and numbers have 17 digits.
        spec: Its column.
        form: The source's format.
        described: The schema's description of it; None without a schema.

    Returns:
        The value, and the condition (never null) on which it must be read exactly instead; None for never.
    """
    kind, name = family(spec), described.kind if described else None
    if kind not in _NUMBERS:
        return (_described(text, spec, name) if name and _is_described_by(kind, name) else _declared(text, spec, form)), None
    if name == _BITS_TYPE or (described is None and form.encodings.get(spec.name) == "bits"):
        return f"coalesce({_of_bits(text)}, {text})", f"TRY_CAST({text} AS BIGINT) IS NOT NULL"
    if name == _DECIMAL_TYPE or (described is None and _of_declared_base64(spec, form)):
        scale = described.scale if described else str(_declared_scale(spec, form))
        if scale is None or not scale.isdecimal():
            return text, f"{text} IS NOT NULL"
        doubt = f"coalesce({text}[1] = '{{' OR TRY_CAST({text} AS DOUBLE) IS NOT NULL, false)"
        return f"coalesce({_of_base64(text, scale)}, {text})", doubt
    return text, _loses_digits(text, spec)


def _is_described_by(kind: Family, name: str) -> bool:
    """Whether values of a schema type can belong to a family."""
    return name in _TEMPORAL and (kind == "time" if name.endswith("Time") else kind in ("date", "timestamp", "instant"))


def _described(text: str, spec: ColumnSpec, name: str) -> str:
    precision = _PRECISIONS.get(name)
    return _of_days(text) if precision is None else _of_epoch(text, precision, family(spec))


def _declared(text: str, spec: ColumnSpec, form: Debezium) -> str:
    """A value that is not a number, without a schema that gives its encoding."""
    kind = family(spec)
    encoding = form.encodings.get(spec.name)
    if kind == "bytes":
        return _of_bytes(text, encoding or form.binary)
    if kind == "date":
        return _of_days(text)
    precision = (encoding or form.time_precision) if kind in ("time", "timestamp", "instant") else None
    return _of_epoch(text, precision, kind) if precision in _TO_MICROSECONDS else text


# --- Numbers ---


def _of_declared_base64(spec: ColumnSpec, form: Debezium) -> bool:
    """Whether strings in a numeric column are base64, without a schema that says so."""
    return form.encodings.get(spec.name, form.decimals if family(spec) == "decimal" else "text") == "base64"


def _declared_scale(spec: ColumnSpec, form: Debezium) -> int:
    """The scale of a column's base64 decimals, without a schema that gives it."""
    found = _DECIMAL.fullmatch(spec.sql_type)
    return form.scales.get(spec.name, int(found[2]) if found else 0)


def _loses_digits(text: str, spec: ColumnSpec) -> str | None:
    """The condition on which a double cannot represent a number of a decimal column, or the value is an object."""
    found = _DECIMAL.fullmatch(spec.sql_type)
    if found is None:
        return None
    precision, scale = int(found[1]), int(found[2])
    doubts = [f"{text}[1] = '{{'"]
    if precision > _EXACT_DIGITS:
        # A double distinguishes neighbours in the last declared place, unless too many digits precede it.
        most = max(0, _EXACT_DIGITS - scale)
        is_number = f"(position('.' IN {text}) > {most + 1} OR contains({text}, 'e'))"
        doubts.append(f"strlen({text}) > {most} AND strlen({text}) <= {_LONGEST_DOUBLE} AND {is_number}")
    return f"coalesce({' OR '.join(doubts)}, false)"


def base64_number(sent: Sent, spec: ColumnSpec, form: Debezium) -> tuple[str, str]:
    """Write the expressions for the base64 of a number's unscaled value, null if it is not sent so, and for its scale."""
    is_object = f"{sent.text}[1] = '{{'"
    # A string of digits may be base64 as well; a JSON number cannot be.
    is_text = f"(TRY_CAST({sent.text} AS DOUBLE) IS NULL OR {sent.is_text})"
    applies, scale = f"{sent.kind} = {literal(_DECIMAL_TYPE)}", f"TRY_CAST({sent.scale} AS INTEGER)"
    if _of_declared_base64(spec, form):
        applies = f"CASE WHEN {sent.is_described} THEN {applies} ELSE true END"
        scale = f"CASE WHEN {sent.is_described} THEN {scale} ELSE {_declared_scale(spec, form)} END"
    return (
        f"CASE WHEN {is_object} THEN {_within(sent.text, 'value')} WHEN {applies} AND {is_text} THEN {sent.text} END",
        f"CASE WHEN {is_object} THEN TRY_CAST({_within(sent.text, 'scale')} AS INTEGER) ELSE coalesce({scale}, 0) END",
    )


def _number(sent: Sent, text: str, spec: ColumnSpec, form: Debezium) -> str:
    """A number sent as a number, as a string, as base64, or as an object with the scale and the unscaled number."""
    known = [] if sent.digits == "NULL" else [sent.digits]
    if family(spec) == "whole":
        declared = f" OR NOT ({sent.is_described})" if form.encodings.get(spec.name) == "bits" else ""
        known.append(
            f"CASE WHEN ({sent.kind} = {literal(_BITS_TYPE)}{declared}) AND {sent.is_text} THEN {_of_bits(sent.text)} END"
        )
    known.append(f"CASE WHEN {sent.base64} IS NOT NULL THEN {_of_base64(sent.base64, sent.base64_scale)} END")
    return f"coalesce({', '.join([*known, text])})"


def _of_base64(text: str, scale: str) -> str:
    """A decimal from the base64 of its unscaled number, big-endian two's complement of up to 16 bytes.

    Args:
        text: Expression for the base64.
        scale: Expression for the scale, or the scale.
    """
    digits = f"hex(TRY(from_base64({text})))"
    # A number of fewer bytes is sign-extended to 16.
    sign = f"CASE WHEN {digits}[1] >= '8' THEN 'F' ELSE '0' END"
    unscaled = f"TRY(CAST(unhex(lpad({digits}, 32, {sign})) AS BIT)::HUGEINT)"
    number = f"CASE WHEN strlen({digits}) BETWEEN 2 AND 32 THEN {unscaled} END"
    if scale == "0":
        return f"({number})::VARCHAR"
    if scale.isdecimal():
        padded = f"format('{{:0{int(scale) + 2}d}}', {number})"
        return f"(left({padded}, -{scale}) || '.' || right({padded}, {scale}))"
    padded = f"format('{{:0' || ({scale} + 2) || 'd}}', {number})"
    return (
        f"(CASE WHEN {scale} <= 0 THEN ({number})::VARCHAR || repeat('0', -{scale}) "
        f"ELSE left({padded}, -{scale}) || '.' || right({padded}, {scale}) END)"
    )


def _of_bits(text: str) -> str:
    """A whole number from base64 of its bytes, least significant first."""
    digits = f"hex(TRY(from_base64({text})))"
    bytes_back = f"array_to_string(list_reverse(regexp_extract_all({digits}, '..')), '')"
    return f"TRY_CAST('0x' || nullif(ltrim({bytes_back}, '0'), '') AS BIGINT)::VARCHAR"


def exact_numbers(document: str) -> str:
    """Write the expression for a document with an object in place of every number that DuckDB might shorten.

    Args:
        document: Expression for a valid JSON document.
    """
    marked = f"regexp_replace({document}, {literal(_STRING_OR_NUMBER)}, E'\\\\1\\x02\\\\2\\x03', 'g')"
    opened, closed = literal('{"' + NUMBER + '":"'), literal('"}')
    return f"replace(replace(replace({marked}, E'\\x02\\x03', ''), E'\\x02', {opened}), E'\\x03', {closed})"


LONG_NUMBER = r"[0-9]\.[0-9]{8}|[0-9]{8}\.[0-9]"
"""Matches a document in which a number may have more digits than DuckDB keeps (or a string looks like one)."""
_STRING_OR_NUMBER = r'("(?:[^"\\]|\\.)*")|(-?(?:[0-9]+\.[0-9]{8,}|[0-9]{8,}\.[0-9]+)(?:[eE][-+]?[0-9]+)?)'


# --- Dates and times ---

_TO_MICROSECONDS: dict[str, str] = {
    "milliseconds": "{0}::HUGEINT * 1000",
    "microseconds": "{0}::HUGEINT",
    # Integer division truncates towards zero: instants before 1970 would be one microsecond late.
    "nanoseconds": "({0}::HUGEINT - (({0}::HUGEINT % 1000) + 1000) % 1000) // 1000",
}


def _of_days(text: str) -> str:
    """A date from days since 1970, or from ISO 8601 with a meaningless zone."""
    days = f"TRY_CAST({text} AS INTEGER)"
    return (
        f"CASE WHEN strlen({text}) > 8 THEN rtrim({text}, 'Z') "
        f"WHEN {days} BETWEEN {_FIRST_DAY} AND {_LAST_DAY} THEN (DATE '1970-01-01' + {days})::VARCHAR ELSE {text} END"
    )


def _of_epoch(text: str, precision: str, kind: Family) -> str:
    """An instant from an integer count since 1970, or a time of day from a count since midnight; else the text."""
    number = f"TRY_CAST({text} AS BIGINT)"
    microseconds = _TO_MICROSECONDS[precision].format(number)
    if kind == "time":
        value = f"TRY_CAST(TRY(TIME '00:00:00' + to_microseconds(({microseconds})::BIGINT)) AS VARCHAR)"
        in_a_day = f"({microseconds}) BETWEEN 0 AND 86399999999"
        return f"CASE WHEN {in_a_day} THEN {value} WHEN ({microseconds}) = 86400000000 THEN '24:00:00' ELSE {text} END"
    zone = " || '+00'" if kind == "instant" else ""
    instant = f"TRY(make_timestamp(({microseconds})::BIGINT))::VARCHAR{zone}"
    return (
        f"CASE WHEN {number} IS NULL THEN {text} "
        f"WHEN {text} IN ({_texts(_INFINITY)}) THEN 'infinity' WHEN {text} IN ({_texts(_BEFORE_ALL)}) THEN '-infinity' "
        f"ELSE coalesce({instant}, {text}) END"
    )


# --- Bytes ---


def _of_bytes(text: str, encoding: str) -> str:
    digits = {
        "base64": f"hex(TRY(from_base64({text})))",
        "base64-url-safe": f"hex(TRY(from_base64(translate({text}, '-_', '+/'))))",
        "hex": f"CASE WHEN regexp_full_match({text}, '([0-9a-fA-F]{{2}})*') THEN {text} END",
    }.get(encoding)
    if digits is None:
        return text
    return rf"coalesce(regexp_replace({digits}, '(..)', '\\x\1', 'g'), {text})"


# --- MongoDB ---


def unwrapped(text: str, kind: Family) -> str:
    """Write the expression for a value of MongoDB's extended JSON, version 1 or 2, without its type wrapper.

    Only the value itself is unwrapped, not those within it.
    """
    plain = [_within(text, name) for name in _EXTENDED]
    date = f"coalesce({_within(text, '$date', '$numberLong')}, {_within(text, '$date')})"
    binary = [_within(text, "$binary", "base64"), _within(text, "$binary")]
    if kind in ("date", "timestamp", "instant"):
        date = _of_epoch(date, "milliseconds", "instant")
    return (
        f"(CASE WHEN NOT starts_with({text}, '{{\"$') THEN {text} WHEN starts_with({text}, '{{\"$undefined\"') THEN NULL "
        f"ELSE coalesce({', '.join([*plain, date, *binary])}, {text}) END)"
    )


def _within(text: str, *names: str) -> str:
    """Expression for the text at a path in an object."""
    return f"json_extract_string({text}, {literal('$' + ''.join(f'.{json.dumps(name)}' for name in names))})"


_EXTENDED = ("$numberLong", "$numberInt", "$numberDouble", "$numberDecimal", "$oid", "$uuid", "$symbol")


# --- Values that were not sent ---


def placeholders(form: Debezium) -> tuple[str, ...]:
    """Texts that stand for an unchanged value, for each type that may be stored out of line."""
    text = form.placeholder
    raw = text.encode()
    encoded = base64.b64encode(raw).decode()
    # Debezium derives the one for UUIDs like Java's nameUUIDFromBytes.
    uuid = UUID(bytes=hashlib.md5(raw, usedforsecurity=False).digest(), version=3)
    lists: list[object] = [[text], [encoded], [raw.hex()], [str(uuid)], list(raw), {text: text}]
    single = [text, encoded, base64.urlsafe_b64encode(raw).decode(), raw.hex()]
    return tuple(dict.fromkeys([*single, *(json.dumps(each, separators=(",", ":"), ensure_ascii=False) for each in lists)]))


def _texts(texts: tuple[str, ...]) -> str:
    return text_list(texts)[1:-1]
