"""Documents read as one record per element: which elements there are is said by the newest document."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from random import Random

import pytest
from declared import domain_of
from hypothesis import given, settings
from hypothesis import strategies as st
from shop_lake import LANDED_AT, ShopLake

from assay.contracts import Contract, Count, Daily, Event, Money, Published, column, source, table
from assay.errors import ContractError
from assay.landing.formats import Explode, JsonDocuments
from assay.landing.readers.registry import reader_for

KEY = ("order_id", "place")
RUN = "_ingested_at AS ingestion_timestamp, _source AS data_source"


@dataclass(frozen=True)
class Document:
    """A version of a document: its elements by their place, or by day as well."""

    id: str
    version: int
    skus: tuple[str, ...]
    day: int = 1

    @property
    def line(self) -> bytes:
        items = [{"sku": sku} for sku in self.skus]
        document = {"id": self.id, "v": self.version, "day": f"2025-01-0{self.day}", "order": {"items": items}}
        return json.dumps(document).encode() + b"\n"


@st.composite
def histories(draw: st.DrawFn) -> list[Document]:
    """The versions of two documents."""
    skus = st.lists(st.sampled_from("xyz"), max_size=3).map(tuple)
    return [
        Document(name, version, draw(skus), draw(st.integers(1, 3)))
        for name in ("o1", "o2")
        for version in range(1, draw(st.integers(1, 4)) + 1)
    ]


def newest(documents: Iterable[Document]) -> list[tuple[str, int, str]]:
    last = {each.id: each for each in sorted(documents, key=lambda each: each.version)}
    return [(name, place, sku) for name, each in sorted(last.items()) for place, sku in enumerate(each.skus, 1)]


def items_lake(folder: Path, *tables: type[Contract], **sql: str) -> ShopLake:
    explode = Explode("order.items", ordinal="place", parent={"order_id": "id", "v": "v"})

    @source("items", format=JsonDocuments(version="v::BIGINT", explode=explode), key=KEY, owner="team:x", subject="x")
    class Items(Event):
        """Items of orders."""

        order_id: str = column("The order")
        place: Count = column("Its place")
        v: str = column("Version", nullable=True)
        sku: str = column("What", nullable=True)
        price: Money = column("Price", nullable=True)

    return ShopLake(folder, domain_of(folder / "sql", [Items, *tables], {f"enriched.{name}": text for name, text in sql.items()}))


def daily_items_lake(folder: Path, *tables: type[Contract], **sql: str) -> ShopLake:
    explode = Explode("order.items", ordinal="place", parent={"order_id": "id", "v": "v", "day": "day"})

    @source(
        "items",
        format=JsonDocuments(version="v::BIGINT", explode=explode),
        key=KEY,
        owner="team:x",
        subject="x",
        partition=Daily("ordered_on", of="day"),
    )
    class Items(Event):
        """Items of orders."""

        order_id: str = column("The order")
        place: Count = column("Its place")
        v: str = column("Version", nullable=True)
        day: str = column("Day", nullable=True)
        sku: str = column("What", nullable=True)

    return ShopLake(folder, domain_of(folder / "sql", [Items, *tables], {f"enriched.{name}": text for name, text in sql.items()}))


class TestElementsThatAreGone:
    """The newest document of a key decides which elements there are."""

    @pytest.mark.parametrize("lake_in", [items_lake, daily_items_lake])
    @given(histories(), st.randoms(use_true_random=False), st.integers(1, 4))
    @settings(max_examples=12)
    def test_in_any_order_and_however_often(
        self, lake_in: Callable[[Path], ShopLake], documents: list[Document], random: Random, size: int
    ) -> None:
        landed = [*documents, *random.sample(documents, random.randrange(len(documents) + 1))]
        random.shuffle(landed)
        with tempfile.TemporaryDirectory() as folder:
            lake = lake_in(Path(folder))
            for first in range(0, len(landed), size):
                lake.land("items", f"{first}.json", b"".join(each.line for each in landed[first : first + size]))
                if random.random() < 0.5:
                    lake.ingest("items")
            lake.ingest("items")
            assert lake.rows("SELECT order_id, place, sku FROM latest.items ORDER BY ALL") == newest(documents)

    def test_their_history_ends_with_the_document_that_leaves_them_out(self, tmp_path: Path) -> None:
        lake = items_lake(tmp_path)
        times = [LANDED_AT + dt.timedelta(days=number) for number in range(4)]
        sent = [("x", "y"), ("x",), (), ("z", "y")]
        for version in (3, 1, 4, 2):
            lake.land("items", f"{version}.json", Document("o1", version, sent[version - 1]).line, times[version - 1])
            lake.ingest("items")
        told = "SELECT place, sku, valid_from::DATE - DATE '2025-01-10', valid_to::DATE - DATE '2025-01-10' FROM history.items"
        assert lake.rows(f"{told} ORDER BY ALL") == [
            (1, "x", 0, 1),
            (1, "x", 1, 2),
            (1, "z", 3, None),
            (2, "y", 0, 1),
            (2, "y", 3, None),
        ]

    def test_an_element_that_cannot_be_read_is_not_gone(self, tmp_path: Path) -> None:
        lake = items_lake(tmp_path)
        lake.land("items", "a.json", b'{"id":"o1","v":1,"order":{"items":[{"sku":"x"},{"sku":"y"},{"sku":"z"}]}}\n')
        lake.land("items", "b.json", b'{"id":"o1","v":2,"order":{"items":[{"sku":"x2"},{"sku":"y2","price":"dear"}]}}\n')
        lake.ingest("items")
        assert lake.rows("SELECT place, sku FROM latest.items ORDER BY place") == [(1, "x2"), (2, "y"), (3, "z")]
        lake.land("items", "c.json", b'{"id":"o1","v":3,"order":{"items":[{"sku":"x3"}]}}\n')
        lake.ingest("items")
        assert lake.rows("SELECT place, sku FROM latest.items ORDER BY place") == [(1, "x3")]

    def test_the_books_of_a_table_of_elements_balance(self, tmp_path: Path) -> None:
        @table("things", layer="enriched", key=KEY, owner="team:x", subject="x")
        class Things(Published):
            """Items."""

            order_id: str = column("The order")
            place: Count = column("Its place")
            sku: str = column("What", nullable=True)

        lake = items_lake(tmp_path, Things, things=f"SELECT order_id, place, sku, {RUN} FROM latest.items")
        lake.land("items", "a.json", Document("o1", 1, ("x", "y")).line + Document("o1", 2, ("x",)).line)
        lake.run()
        assert lake.rows("SELECT order_id, place, sku FROM enriched.things") == [("o1", 1, "x")]
        lake.land("items", "b.json", Document("o1", 3, ()).line)
        lake.run()
        assert lake.rows("SELECT order_id, place, sku FROM enriched.things") == []

    def test_a_document_that_gets_another_day_leaves_the_first(self, tmp_path: Path) -> None:
        @table("things", layer="enriched", key=KEY, owner="team:x", subject="x", partition=Daily("ordered_on"))
        class Things(Published):
            """Items."""

            order_id: str = column("The order")
            place: Count = column("Its place")
            ordered_on: dt.date = column("Day")
            sku: str = column("What", nullable=True)

        sql = f"SELECT order_id, place, ordered_on, sku, {RUN} FROM latest.items"
        documents = [Document("o1", 1, ("x", "y", "z"), 1), Document("o1", 2, ("x",), 2), Document("o1", 3, ("x", "y"), 1)]
        there = "SELECT place, ordered_on::VARCHAR, sku FROM enriched.things ORDER BY ALL"
        for order in permutations(documents):
            lake = daily_items_lake(tmp_path / "".join(str(each.version) for each in order), Things, things=sql)
            for number, document in enumerate(order):
                lake.land("items", f"{number}.json", document.line)
                lake.run()
            assert lake.rows(there) == [(1, "2025-01-01", "x"), (2, "2025-01-01", "y")]


@pytest.mark.parametrize(
    ("key", "version", "wrong"),
    [
        (("order_id", "sku"), "v::BIGINT", r"its key \(sku\) and its key, which lacks place"),
        (("order_id", "place"), "sku::BIGINT", r"its version \(sku\)"),
    ],
)
def test_elements_whose_document_cannot_be_told_are_a_wrong_declaration(
    tmp_path: Path, key: tuple[str, ...], version: str, wrong: str
) -> None:
    explode = Explode("items", ordinal="place", parent={"order_id": "id", "v": "v"})

    @source("items", format=JsonDocuments(version=version, explode=explode), key=key, owner="team:x", subject="x")
    class Items(Event):
        """Items."""

        order_id: str = column("The order")
        place: Count = column("Its place")
        v: str = column("Version")
        sku: str = column("What")

    with pytest.raises(ContractError, match=wrong):
        reader_for(domain_of(tmp_path / "sql", [Items], {}).sources["items"])
