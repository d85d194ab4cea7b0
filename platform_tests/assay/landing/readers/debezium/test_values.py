"""What values of Debezium events mean, in every encoding that the connectors have, with a schema and without, read either way."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import json
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import ibis.expr.datatypes as types
import pytest
from debezium_lake import TABLE, change, described, envelope, read, refused, rows_lake, with_schema
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.contracts import Date, Money, Timestamp
from assay.landing.formats import Debezium

WIDE = Annotated[types.Decimal, 38, 10, True]
WALL_CLOCK = Annotated[types.Timestamp, None, None, True]
DECIMAL = "org.apache.kafka.connect.data.Decimal"
INFINITY = dt.datetime(9999, 12, 31, 23, 59, 59, 999999)

both_ways = pytest.mark.parametrize("quickly", [True, False], ids=["quickly", "exactly"])


def precise(value: Decimal, scale: int) -> str:
    """Encode as Debezium does: base64 of the shortest big-endian two's complement."""
    unscaled = int(value.scaleb(scale, decimal.Context(prec=60)))
    return base64.b64encode(unscaled.to_bytes(unscaled.bit_length() // 8 + 1, "big", signed=True)).decode()


def value_of(folder: Path, kind: Any, value: object, form: Debezium | None = None, quickly: bool = True) -> Any:
    """Read one value without schema."""
    lake = rows_lake(folder, form, value=kind)
    ((found,),) = read(lake, change(1, value=value), columns="value", quickly=quickly)
    return found


def described_value(folder: Path, kind: Any, value: object, field: dict[str, Any], quickly: bool = True) -> Any:
    """Read one value that its schema describes."""
    lake = rows_lake(folder, value=kind)
    message = with_schema(change(1, value=value), described("id", "string"), field)
    ((found,),) = read(lake, message, columns="value", quickly=quickly)
    return found


class TestVectors:
    """The published vectors: what consumers have got wrong, with the right values."""

    @pytest.fixture
    def vectors(self, real_data: Callable[[str], Path]) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(real_data("cdc_samples/debezium_value_vectors.json").read_text())
        return found

    @both_ways
    @pytest.mark.parametrize("has_schema", [True, False])
    def test_decimals(self, tmp_path: Path, vectors: dict[str, Any], quickly: bool, has_schema: bool) -> None:
        every = vectors["decimal_precise_base64_big_endian_twos_complement"]
        for place, vector in enumerate(every):
            folder = tmp_path / str(place)
            kind = Annotated[types.Decimal, 38, vector["scale"], True]
            field = described("value", "bytes", DECIMAL, scale=str(vector["scale"]))
            if has_schema:
                found = described_value(folder, kind, vector["base64"], field, quickly)
            else:
                found = value_of(folder, kind, vector["base64"], Debezium(TABLE, decimals="base64"), quickly)
            assert found == Decimal(vector["value"]), vector

    @both_ways
    def test_decimals_of_any_scale(self, tmp_path: Path, vectors: dict[str, Any], quickly: bool) -> None:
        lake = rows_lake(tmp_path, value=WIDE)
        every = vectors["variable_scale_decimal"]
        found = read(lake, *(change(n, value=each["json"]) for n, each in enumerate(every)), columns="value", quickly=quickly)
        assert [value for (value,) in found] == [Decimal(each["value"]) for each in every]

    @both_ways
    @pytest.mark.parametrize("has_schema", [True, False])
    def test_dates_and_times(self, tmp_path: Path, vectors: dict[str, Any], quickly: bool, has_schema: bool) -> None:
        kinds = {"Date": Date, "Time": types.Time, "Timestamp": WALL_CLOCK, "ZonedTimestamp": Timestamp, "Year": int}
        for place, vector in enumerate(vectors["temporal"]):
            name = vector["type"].removeprefix("io.debezium.time.")
            precision = {"Micro": "microseconds", "Nano": "nanoseconds"}.get(
                name[: -len("Timestamp")] or name[:-4], "milliseconds"
            )
            if name == "MicroTime":
                precision = "microseconds"
            kind = kinds[name.removeprefix("Micro").removeprefix("Nano").removeprefix("Iso")]
            folder = tmp_path / str(place)
            if has_schema:
                wire = "string" if isinstance(vector["raw"], str) else "int64"
                found = described_value(folder, kind, vector["raw"], described("value", wire, vector["type"]), quickly)
            else:
                found = value_of(folder, kind, vector["raw"], Debezium(TABLE, time_precision=precision), quickly)  # type: ignore[arg-type]
            assert found == expected_time(kind, vector["value"]), vector

    def test_bits(self, tmp_path: Path, vectors: dict[str, Any]) -> None:
        (vector,) = vectors["bits_little_endian"]
        assert (
            described_value(tmp_path / "a", int, vector["base64"], described("value", "bytes", "io.debezium.data.Bits")) == 1991
        )
        assert value_of(tmp_path / "b", int, vector["base64"], Debezium(TABLE, encodings={"value": "bits"})) == 1991

    def test_mongodb_dates(self, tmp_path: Path, vectors: dict[str, Any]) -> None:
        lake = rows_lake(tmp_path, Debezium(TABLE, connector="mongodb"), value=Timestamp)
        origin = {"collection": TABLE, "ts_ms": 1000, "ord": 1}
        documents = [{"id": str(n), "value": each} for n, each in enumerate(vectors["mongo_date_forms_same_instant"])]
        found = read(lake, *(envelope("c", origin, None) | {"after": json.dumps(each)} for each in documents), columns="value")
        assert found == [(dt.datetime(2026, 7, 3, 17, 59, 45, 729000, tzinfo=dt.UTC),)] * 3

    def test_mongodb_keys(self, tmp_path: Path, vectors: dict[str, Any]) -> None:
        lake = rows_lake(tmp_path, Debezium(TABLE, connector="mongodb", columns={"id": "_id"}))
        origin = {"collection": TABLE, "ts_ms": 1000, "ord": 1}
        keys = [text for _, text in vectors["mongo_id_key_payloads"]]
        found = read(lake, *(envelope("c", origin, None) | {"after": f'{{"_id": {key}}}'} for key in keys), columns="id")
        assert [key for (key,) in found] == ["1234", "12.34", "1234", "596e275826f08b2730779e1f", "a2Fma2E="]

    @both_ways
    def test_bug_10_a_placeholder_is_neither_stored_nor_null(
        self, tmp_path: Path, vectors: dict[str, Any], quickly: bool
    ) -> None:
        forms = vectors["toast_placeholder_forms"]
        lake = rows_lake(tmp_path, value=str, bytes=types.Binary)
        place = {"bytea_base64": "bytes"}
        columns = [place.get(name, "value") for name in forms]
        rows = [change(n, "u", **{column: form}) for n, (column, form) in enumerate(zip(columns, forms.values(), strict=True))]
        found = read(lake, *rows, columns="value, bytes, _unchanged", quickly=quickly)
        assert found == [(None, None, [column]) for column in columns]


def expected_time(kind: Any, text: Any) -> Any:
    if kind is int:
        return text
    if kind is Date:
        return dt.date.fromisoformat(text)
    if kind is types.Time:
        return dt.time.fromisoformat(text)
    if text in ("infinity", "-infinity"):
        return INFINITY if text == "infinity" else dt.datetime(1, 1, 1)
    return dt.datetime.fromisoformat(text)


class TestNumbers:
    @given(
        st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=Decimal("-1e30"), max_value=Decimal("1e30")),
        st.integers(-(10**33) + 1, 10**33 - 1).map(lambda units: Decimal(units).scaleb(-4, decimal.Context(prec=60))),
    )
    @settings(max_examples=10)
    def test_bug_14_any_decimal_keeps_its_sign_and_digits(self, one: Decimal, other: Decimal) -> None:
        with tempfile.TemporaryDirectory() as folder:
            lake = rows_lake(Path(folder), Debezium(TABLE, decimals="base64"), value=Annotated[types.Decimal, 38, 4, True])
            found = read(lake, *(change(n, value=precise(each, 4)) for n, each in enumerate((one, other))), columns="value")
            assert [value for (value,) in found] == [one, other]

    @both_ways
    @pytest.mark.parametrize(
        "value", ["1.5", 1.5, {"scale": 1, "value": precise(Decimal("1.5"), 1)}], ids=["text", "number", "object"]
    )
    def test_text_numbers_and_objects_are_always_understood(self, tmp_path: Path, value: object, quickly: bool) -> None:
        assert value_of(tmp_path, Money, value, quickly=quickly) == Decimal("1.50")
        assert value_of(tmp_path / "p", Money, value, Debezium(TABLE, decimals="base64"), quickly) == Decimal("1.50")

    @both_ways
    def test_base64_of_digits_alone_is_not_taken_for_a_number(self, tmp_path: Path, quickly: bool) -> None:
        value = int.from_bytes(base64.b64decode("1234"), "big", signed=True)
        assert value_of(tmp_path, Money, "1234", Debezium(TABLE, decimals="base64"), quickly) == Decimal(value).scaleb(-2)
        assert value_of(tmp_path / "n", Money, 1234, Debezium(TABLE, decimals="base64"), quickly) == 1234
        assert value_of(tmp_path / "t", Money, "1234", quickly=quickly) == 1234

    @both_ways
    def test_base64_that_was_not_declared_is_refused(self, tmp_path: Path, quickly: bool) -> None:
        lake = rows_lake(tmp_path, value=Money)
        assert read(lake, change(1, value="ew=="), quickly=quickly) == []
        assert refused(lake) == [(1, "value is 'ew==', which is no DECIMAL(18,2)")]

    @both_ways
    def test_a_decimal_longer_than_any_type_is_refused(self, tmp_path: Path, quickly: bool) -> None:
        lake = rows_lake(tmp_path, Debezium(TABLE, decimals="base64"), value=WIDE)
        assert read(lake, change(1, value=precise(Decimal(10) ** 40, 0)), quickly=quickly) == []
        assert len(refused(lake)) == 1

    def test_the_scale_at_the_source_may_be_another(self, tmp_path: Path) -> None:
        form = Debezium(TABLE, decimals="base64", scales={"value": 0})
        assert value_of(tmp_path, Money, precise(Decimal(12), 0), form) == 12

    @both_ways
    @pytest.mark.parametrize(
        "number",
        [
            "1234567890123456.78",
            "0.1000000000000000000000000001",
            "-123456789.0123456789",
            "12345678901234567890",
            "1e2",
            "1.2345678901234567e+5",
            "1.50",
        ],
    )
    def test_a_number_keeps_all_its_digits(self, tmp_path: Path, number: str, quickly: bool) -> None:
        kind = Annotated[types.Decimal, 38, 10 if len(number) < 28 else 28, True]
        lake = rows_lake(tmp_path, value=kind, other=str)
        line = json.dumps(change(1, value=0, other='1.123456789 "')).replace('"value": 0', f'"value": {number}')
        lake.land("rows", "a.json", line.encode() + (b"\n" if quickly else b"\n\xff\n"))
        lake.ingest("rows")
        scale = Decimal(1).scaleb(-10 if len(number) < 28 else -28)
        exactly = Decimal(number).quantize(scale, decimal.ROUND_HALF_UP, decimal.Context(prec=60))
        assert lake.rows("SELECT value, other FROM changes.rows") == [(exactly, '1.123456789 "')]

    @both_ways
    def test_unsigned_integers_of_64_bits_come_as_decimals(self, tmp_path: Path, quickly: bool) -> None:
        field = described("value", "bytes", DECIMAL, scale="0")
        assert described_value(tmp_path / "a", int, precise(Decimal(20000000000), 0), field, quickly) == 20000000000
        assert described_value(tmp_path / "b", float, precise(Decimal(-3), 0), field, quickly) == -3.0
        assert described_value(tmp_path / "c", int, 20000000000, field, quickly) == 20000000000

    @both_ways
    def test_a_schema_that_changes_within_a_file_is_followed(self, tmp_path: Path, quickly: bool) -> None:
        lake = rows_lake(tmp_path, value=Annotated[types.Decimal, 18, 4, True])
        key = described("id", "string")
        fields = [described("value", "bytes", DECIMAL, scale=str(scale)) for scale in (2, 4)] + [described("value", "string")]
        values = [precise(Decimal("1.25"), 2), precise(Decimal("1.25"), 4), "1.25"]
        found = read(
            lake,
            *(
                with_schema(change(n, value=value), key, field)
                for n, (value, field) in enumerate(zip(values, fields, strict=True))
            ),
            columns="value",
            quickly=quickly,
        )
        assert found == [(Decimal("1.25"),)] * 3


class TestDatesAndTimes:
    @both_ways
    @pytest.mark.parametrize(
        ("precision", "number"),
        [("milliseconds", -1), ("microseconds", -1000), ("nanoseconds", -999_999), ("nanoseconds", -1_000_000)],
    )
    def test_bug_15_instants_before_1970_are_rounded_down(
        self, tmp_path: Path, precision: Any, number: int, quickly: bool
    ) -> None:
        found = value_of(tmp_path, WALL_CLOCK, number, Debezium(TABLE, time_precision=precision), quickly)
        assert found == dt.datetime(1969, 12, 31, 23, 59, 59, 999000)

    @both_ways
    def test_bug_16_one_instant_in_different_zones_is_one_instant(self, tmp_path: Path, quickly: bool) -> None:
        lake = rows_lake(tmp_path, zoned=Timestamp, wall=WALL_CLOCK)
        texts = ["2025-01-01T12:00:00Z", "2025-01-01T07:00:00-05:00", "2025-01-01T14:00:00.000+02:00", "2025-01-01T12:00:00.0Z"]
        rows = [change(n, zoned=text, wall=text) for n, text in enumerate(texts)]
        noon = dt.datetime(2025, 1, 1, 12)
        assert read(lake, *rows, columns="zoned, wall", quickly=quickly) == [(noon.replace(tzinfo=dt.UTC), noon)] * 4

    @both_ways
    def test_integers_whose_unit_nobody_told_are_refused(self, tmp_path: Path, quickly: bool) -> None:
        lake = rows_lake(tmp_path, value=Timestamp)
        assert read(lake, change(1, value=1770091506789012), quickly=quickly) == []
        assert refused(lake) == [(1, "value is '1770091506789012', which is no TIMESTAMP WITH TIME ZONE")]

    @both_ways
    def test_a_column_may_count_otherwise_than_the_rest(self, tmp_path: Path, quickly: bool) -> None:
        form = Debezium(TABLE, time_precision="microseconds", encodings={"b": "milliseconds"})
        lake = rows_lake(tmp_path, form, a=Timestamp, b=Timestamp, c=types.Time, d=int)
        row = change(1, a=1_770_091_506_789_012, b=1_770_091_506_789, c=86_399_123_456, d=1_770_091_506_789_012)
        at = dt.datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=dt.UTC)
        expected = (at, at.replace(microsecond=789000), dt.time(23, 59, 59, 123456), 1_770_091_506_789_012)
        assert read(lake, row, columns="a, b, c, d", quickly=quickly) == [expected]

    @both_ways
    @pytest.mark.parametrize("value", [20250103, 10**12, "next week", "2025-02-30"])
    def test_what_is_no_date_is_refused(self, tmp_path: Path, value: object, quickly: bool) -> None:
        lake = rows_lake(tmp_path, value=Date)
        assert read(lake, change(1, value=value), quickly=quickly) == []
        assert refused(lake) == [(1, f"value is '{value}', which is no DATE")]

    @both_ways
    @pytest.mark.parametrize(
        ("kind", "zero", "epoch"),
        [
            (Date, "0000-00-00", dt.date(1970, 1, 1)),
            (WALL_CLOCK, "0000-00-00 00:00:00", dt.datetime(1970, 1, 1)),
            (Timestamp, "0000-00-00T00:00:00Z", dt.datetime(1970, 1, 1, tzinfo=dt.UTC)),
        ],
    )
    def test_zero_dates_of_mysql(self, tmp_path: Path, kind: Any, zero: str, epoch: object, quickly: bool) -> None:
        """The connector sends null for them, or 1970 where the column may not be null; as they are they are no dates."""
        lake = rows_lake(tmp_path, Debezium(TABLE, connector="mysql", time_precision="milliseconds"), value=kind)
        origin = {"connector": "mysql", "file": "binlog.000009", "row": 0}
        rows = [{"id": str(n), "value": value} for n, value in enumerate((None, 0, zero))]
        events = [envelope("c", {**origin, "pos": n}, row) for n, row in enumerate(rows)]
        assert read(lake, *events, columns="id, value", quickly=quickly) == [("0", None), ("1", epoch)]
        assert refused(lake) == [(3, f"value is '{zero}', which is no {lake.source('rows').types['value']}")]


class TestIntervals:
    """No contract has a type for them: they are the number of microseconds, or the text, that they were sent as."""

    @both_ways
    @pytest.mark.parametrize("has_schema", [True, False])
    @pytest.mark.parametrize("value", [0, -93_784_000_005, 37_091_106_780_000])
    def test_micro_durations_are_microseconds(self, tmp_path: Path, value: int, has_schema: bool, quickly: bool) -> None:
        field = described("value", "int64", "io.debezium.time.MicroDuration")
        form = Debezium(TABLE, time_precision="milliseconds")
        found = (
            described_value(tmp_path, int, value, field, quickly) if has_schema else value_of(tmp_path, int, value, form, quickly)
        )
        assert found == value

    @both_ways
    @pytest.mark.parametrize("has_schema", [True, False])
    def test_intervals_are_their_text(self, tmp_path: Path, has_schema: bool, quickly: bool) -> None:
        text = "P1Y2M3DT4H5M6.78S"
        field = described("value", "string", "io.debezium.time.Interval")
        found = (
            described_value(tmp_path, str, text, field, quickly) if has_schema else value_of(tmp_path, str, text, quickly=quickly)
        )
        assert found == text

    @both_ways
    @pytest.mark.parametrize("kind", [types.Time, Timestamp, WALL_CLOCK, Date])
    @pytest.mark.parametrize(
        ("wire", "name", "value"), [("int64", "MicroDuration", 93_784_000_005), ("string", "Interval", "P1Y2M3DT4H5M6.78S")]
    )
    def test_they_are_no_dates_and_no_times(
        self, tmp_path: Path, kind: Any, wire: str, name: str, value: object, quickly: bool
    ) -> None:
        lake = rows_lake(tmp_path, value=kind)
        field = described("value", wire, f"io.debezium.time.{name}")
        read(lake, with_schema(change(1, value=value), described("id", "string"), field), quickly=quickly)
        assert refused(lake) == [(1, f"value is '{value}', which is no {lake.source('rows').types['value']}")]


class TestBytes:
    RAW = b"\xde\xad\xfb\xff\x00'\\"

    @both_ways
    @pytest.mark.parametrize(
        ("handling", "text"),
        [
            ("base64", base64.b64encode(RAW).decode()),
            ("base64-url-safe", base64.urlsafe_b64encode(RAW).decode()),
            ("hex", RAW.hex()),
        ],
    )
    def test_every_way_of_writing_bytes(self, tmp_path: Path, handling: Any, text: str, quickly: bool) -> None:
        assert value_of(tmp_path, types.Binary, text, Debezium(TABLE, binary=handling), quickly) == self.RAW


class TestMongoDb:
    @pytest.mark.parametrize(
        ("kind", "value", "expected"),
        [
            (int, {"$numberLong": "1004"}, 1004),
            (int, {"$numberInt": "7"}, 7),
            (float, {"$numberDouble": "1.5"}, 1.5),
            (WIDE, {"$numberDecimal": "1234567890123456789.25"}, Decimal("1234567890123456789.25")),
            (str, {"$oid": "596e275826f08b2730779e1f"}, "596e275826f08b2730779e1f"),
            (types.Binary, {"$binary": "3q2+7w==", "$type": "00"}, b"\xde\xad\xbe\xef"),
            (types.Binary, {"$binary": {"base64": "3q2+7w==", "subType": "00"}}, b"\xde\xad\xbe\xef"),
            (Date, {"$date": {"$numberLong": "1783101585729"}}, dt.date(2026, 7, 3)),
            (Money, 19.990000000000002, Decimal("19.99")),
            (str, {"$undefined": True}, None),
            (str, {"street": "Main"}, '{"street":"Main"}'),
        ],
        ids=repr,
    )
    def test_extended_json_of_both_versions(self, tmp_path: Path, kind: Any, value: object, expected: object) -> None:
        lake = rows_lake(tmp_path, Debezium(TABLE, connector="mongodb"), value=kind)
        message = envelope("c", {"collection": TABLE, "ts_ms": 5000, "ord": 1}, None)
        message["after"] = json.dumps({"id": "1", "value": value})
        assert read(lake, message, columns="value") == [(expected,)]


def test_a_document_within_a_document_keeps_the_digits_of_its_numbers(tmp_path: Path) -> None:
    lake = rows_lake(tmp_path, Debezium(TABLE, connector="mongodb"), value=WIDE)
    message = envelope("c", {"collection": TABLE, "ts_ms": 5000, "ord": 1}, None)
    message["after"] = '{"id": "1", "value": 12345678901234567890.123}'
    assert read(lake, message, columns="value") == [(Decimal("12345678901234567890.123"),)]


@both_ways
def test_arrays_and_objects_are_their_json(tmp_path: Path, quickly: bool) -> None:
    lake = rows_lake(tmp_path, texts=str, json=str)
    row = change(1, texts=["a", "b,c", None, {"x": 1.5}], json='{"k": [1, 2.50, null]}')
    assert read(lake, row, columns="texts, json", quickly=quickly) == [('["a","b,c",null,{"x":1.5}]', '{"k": [1, 2.50, null]}')]


@both_ways
def test_bug_17_an_explicit_null_stays_null_whatever_the_columns_default_is(tmp_path: Path, quickly: bool) -> None:
    field = {**described("value", "string"), "default": "web"}
    lake = rows_lake(tmp_path, value=str)
    message = with_schema(change(1, value=None), described("id", "string"), field)
    assert read(lake, message, columns="value, _missing, _unchanged", quickly=quickly) == [(None, None, None)]


@both_ways
def test_a_producers_own_placeholder_is_known_when_it_is_declared(tmp_path: Path, quickly: bool) -> None:
    lake = rows_lake(tmp_path, Debezium(TABLE, placeholder="(same)"), value=str, other=str)
    found = read(
        lake, change(1, value="(same)", other="__debezium_unavailable_value"), columns="value, other, _unchanged", quickly=quickly
    )
    assert found == [(None, "__debezium_unavailable_value", ["value"])]
