"""Declarations of tables and sources: what is wrong is said when they are declared, and versions follow the data alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from assay.contracts import (
    Balance,
    Contract,
    Daily,
    Date,
    Dimension,
    Event,
    Money,
    Monthly,
    Published,
    Severity,
    Source,
    Table,
    Watch,
    Weekly,
    Window,
    Yearly,
    column,
    source,
    table,
)
from assay.contracts.table import DECLARATION
from assay.errors import ContractError
from assay.landing.formats import Csv, Debezium


def declare(
    key: tuple[str, ...] = ("id",),
    description: str = "Amount",
    ge: int = 0,
    nullable: bool = False,
    extra: dict[str, Any] | None = None,
    **options: Any,
) -> Table:
    class Made(Published):
        """A table."""

        id: str = column("Key")
        day: Date = column("Day")
        amount: Money = column(description, ge=ge, nullable=nullable)

    model = (
        Made
        if extra is None
        else type("Made", (Made,), {"__annotations__": dict.fromkeys(extra, str), **extra, "__module__": __name__})
    )
    settings = {"layer": "enriched", "owner": "team:x", "subject": "x"} | options
    return vars(table("made", key=key, **settings)(model))[DECLARATION]


def _window(cut: type[Daily | Monthly] = Daily, **options: Any) -> dict[str, Any]:
    return {"partition": cut("day"), "windows": {"enriched.x": Window(**options)}}


def declare_source(key: tuple[str, ...] = ("id",), name: str = "amount", **options: Any) -> Source:
    body = {
        "__annotations__": {"id": str, name: str},
        "id": column("Key"),
        name: column("Other", nullable=True),
        "__module__": __name__,
    }
    settings = {"format": Csv(), "owner": "team:x", "subject": "x"} | options
    return vars(source("made", key=key, **settings)(type("Made", (Event,), body)))[DECLARATION]


class TestTable:
    def test_what_is_declared_is_known(self) -> None:
        made = declare(partition=Daily("day"), money="amount")
        assert (made.full_name, made.partition_column, made.description) == ("enriched.made", "day", "A table.")
        assert list(made.types) == [
            "id",
            "day",
            "amount",
            "ingestion_timestamp",
            "data_source",
            "processing_timestamp",
            "job_run_id",
            "data_quality_score",
        ]

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"key": ("id", "nr")}, "enriched.made: its key names nr, which Made does not declare"),
            ({"partition": Daily("date")}, "enriched.made: its partition names date, which Made does not declare"),
            ({"partition": Daily("id")}, "enriched.made: its partition column id is VARCHAR, but Daily needs a DATE"),
            ({"partition": Weekly("id")}, "enriched.made: its partition column id is VARCHAR, but Weekly needs a DATE"),
            ({"partition": Monthly("month")}, "enriched.made: its partition names month, which Made does not declare"),
            ({"partition": Yearly("day"), "watch": Watch()}, "enriched.made: it is watched for anomalies, but has no days"),
            ({"windows": {"enriched.x": Window(1)}}, "enriched.made: its window over enriched.x has no meaning"),
            (_window(before=-1), "enriched.made: its window over enriched.x says before=-1, since=None"),
            (_window(before=1, since="year"), "enriched.made: its window over enriched.x says before=1, since=year"),
            (_window(Monthly, since="month"), "enriched.made: its window over enriched.x begins with the month, but"),
            (_window(own=False), "enriched.made: its window over enriched.x reads nothing"),
            (_window(after=-1), "enriched.made: its window over enriched.x says after=-1"),
            (_window(after=1, about="there"), "enriched.made: its window over enriched.x says about=there, but the table is not"),
            (
                _window(after=1, about="there", own=False) | {"is_local": True},
                "enriched.made: its window over enriched.x says about=there, but reads more or less than the days around its own",
            ),
            ({"money": "total"}, "enriched.made: its money names total, which Made does not declare"),
            (
                {"lookups": {"enriched.x": {"who": "id"}}},
                "enriched.made: its lookup enriched.x names who, which Made does not declare",
            ),
            (
                {"severities": {"amount_small": Severity.WARN}},
                "enriched.made: a severity is given for amount_small, which is not one of its rules",
            ),
            (
                {"owners": {"amount_small": "team:y"}},
                "enriched.made: an owner is given for amount_small, which is not one of its rules",
            ),
            (
                {"dimensions": {"amount_small": Dimension.VALIDITY}},
                "enriched.made: a dimension is given for amount_small, which is not one of its rules",
            ),
            ({"extra": {"broken": column("Ours", alias="_broken")}}, "enriched.made: _broken is reserved for the engine"),
            ({"extra": {"job_run_id": column("Ours")}}, "enriched.made: job_run_id is reserved for the engine"),
        ],
    )
    def test_what_is_declared_wrongly_is_said(self, options: dict[str, Any], said: str) -> None:
        with pytest.raises(ContractError) as raised:
            declare(**options)
        assert raised.value.message.startswith(said)
        assert raised.value.hint

    @pytest.mark.parametrize(
        "options", [{"description": "Said better"}, {"owner": "team:y"}, {"subject": "y"}, {"freshness": timedelta(1)}]
    )
    def test_what_says_nothing_of_data_leaves_the_version(self, options: dict[str, Any]) -> None:
        assert declare(**options).version == declare().version

    @pytest.mark.parametrize(
        "options",
        [
            {"key": ("id", "day")},
            {"ge": 1},
            {"nullable": True},
            {"extra": {"more": column("More")}},
            {"partition": Daily("day")},
            {"severities": {"amount_at_least": Severity.STOP}},
            {"balance": Balance(inputs=("latest.x",))},
            {"money": "amount"},
            {"threshold": 5.0},
            {"tolerated": 3},
        ],
        ids=lambda changed: next(iter(changed)),
    )
    def test_what_decides_data_changes_the_version(self, options: dict[str, Any]) -> None:
        assert declare(**options).version != declare().version

    def test_windows_and_grains_decide_data(self) -> None:
        cuts = [Daily("day"), Weekly("day"), Monthly("day"), Yearly("day")]
        windows = [{}, {"enriched.x": Window(before=3)}, {"enriched.x": Window(since="start")}, {"enriched.y": Window(before=3)}]
        versions = {declare(partition=cut, windows=window).version for cut in cuts for window in windows}
        assert len(versions) == len(cuts) * len(windows)

    @pytest.mark.parametrize(
        ("rows", "score", "good"),
        [
            (100, 95.0, True),
            (100, 94.0, False),
            (20, 90.0, True),
            (20, 85.0, False),
            (3, 0.0, False),
            (2, 0.0, True),
            (0, 100.0, True),
        ],
    )
    def test_a_few_bad_rows_are_tolerated_whatever_share_they_are(self, rows: int, score: float, good: bool) -> None:
        assert declare(threshold=95.0, tolerated=2).is_good_enough(rows, score) is good

    def test_a_contract_that_inherits_another_is_declared_by_itself(self) -> None:
        class Child(declare().model):  # type: ignore[misc]
            """Not declared."""

        assert DECLARATION not in vars(Child)


class TestSource:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"key": ("nr",)}, "source made: its key names nr, which Made does not declare"),
            ({"partition": Daily("day")}, "source made: Daily('day') does not say which day an event is about"),
            (
                {"partition": Daily("AMOUNT", of="amount::DATE")},
                "source made: it is partitioned by AMOUNT, which Assay adds, but the producer sends a column of that name",
            ),
            ({"partition": Weekly("week")}, "source made: it is partitioned by week, but a source must be daily or whole"),
        ],
    )
    def test_what_is_declared_wrongly_is_said(self, options: dict[str, Any], said: str) -> None:
        with pytest.raises(ContractError) as raised:
            declare_source(**options)
        assert raised.value.message == said
        assert raised.value.hint

    def test_a_name_with_an_underscore_first_never_becomes_a_column(self) -> None:
        """Pandera itself passes over such a name; an alias is how one could come in."""

        class Aliased(Contract):
            """Events."""

            id: str = column("Key")
            op: str = column("Kept", alias="_op")

        with pytest.raises(ContractError, match="source made: _op begins with an underscore"):
            source("made", format=Csv(), key=("id",), owner="team:x", subject="x")(Aliased)

    def test_versions_follow_what_decides_the_events(self) -> None:
        same = [declare_source(), declare_source(owner="team:y"), declare_source(freshness=timedelta(1))]
        assert len({made.version for made in same}) == 1
        other = [
            declare_source(key=("id", "amount")),
            declare_source(name="total"),
            declare_source(money="amount"),
            declare_source(partition=Daily("day", of="amount")),
            declare_source(format=Debezium("x")),
            declare_source(format=Csv(delimiter=";")),
        ]
        assert len({made.version for made in (*other, same[0])}) == 7
