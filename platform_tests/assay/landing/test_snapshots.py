"""Dated full snapshots: what a snapshot lacks is gone as of its date, whatever lands when; a part of one tells nothing."""

from __future__ import annotations

import datetime as dt
import gzip
import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from declared import domain_of
from hypothesis import given, settings
from hypothesis import strategies as st
from shop_lake import ShopLake

from assay.contracts import Count, Event, Published, column, source, table
from assay.lake.ledger import LandedObject
from assay.lake.store import ObjectInfo
from assay.landing.formats import Csv, JsonDocuments, Snapshot
from assay.landing.readers.snapshot_dates import date_of
from assay.landing.snapshots import Counted, counted, judge, sort_out

NOW = dt.datetime(2025, 1, 10, tzinfo=dt.UTC)


def snapshot_lake(folder: Path, rule: Snapshot | None = None, **options: str) -> ShopLake:
    @source("stock", format=Csv(snapshot=rule or Snapshot(share=0), **options), key=("id",), owner="team:x", subject="x")  # type: ignore[arg-type]
    class Stock(Event):
        """What is in stock."""

        id: int = column("Key")
        note: str = column("Text", nullable=True)
        pieces: Count = column("How many", nullable=True)

    @table("stock", layer="enriched", key=("id",), owner="team:x", subject="x")
    class Stocked(Published):
        """What is in stock, published."""

        id: int = column("Key")
        note: str = column("Text", nullable=True)

    sql = "SELECT id, note, _ingested_at AS ingestion_timestamp, 'stock' AS data_source FROM latest.stock"
    return ShopLake(folder, domain_of(folder / "sql", [Stock, Stocked], {"enriched.stock": sql}))


def snapshot(*ids: int, note: str = "x") -> bytes:
    return b"id,note\n" + b"".join(b"%d,%s\n" % (each, note.encode()) for each in ids)


def left(lake: ShopLake) -> list[tuple[object, ...]]:
    return lake.rows("SELECT id, note FROM latest.stock ORDER BY id")


class TestDates:
    @pytest.mark.parametrize(
        ("key", "date"),
        [
            ("landing/stock/stock-2025-01-10.csv", "20250110"),
            ("landing/stock/dt=2025-01-10/part-00001-of-20000.csv", "20250110"),
            ("landing/stock/20250110/a.csv", "20250110"),
            ("landing/stock/a.csv", None),
            ("landing/stock/stock-2025-02-30.csv", None),
            ("landing/stock/stock-0000-01-10.csv", None),
            ("landing/stock/12345678-2025-01-10.csv", None),
        ],
    )
    def test_the_date_is_in_the_name_or_the_folder(self, tmp_path: Path, key: str, date: str | None) -> None:
        assert date_of(key, snapshot_lake(tmp_path).source("stock"), Snapshot()) == date

    def test_more_digits_than_a_number_has_are_no_date(self, tmp_path: Path) -> None:
        lake = snapshot_lake(tmp_path, rule := Snapshot(date=r"(\d+)"))
        assert date_of("landing/stock/20250110123456123456.csv", lake.source("stock"), rule) is None
        assert date_of("landing/stock/202501101234561234.csv", lake.source("stock"), rule) == "202501101234561234"

    def test_a_time_of_day_orders_several_a_day(self, tmp_path: Path) -> None:
        lake = snapshot_lake(tmp_path, Snapshot(date=r"(\d{8})T(\d{4})", share=0))
        lake.land("stock", "20250110T0600.csv", snapshot(1, 2))
        lake.ingest("stock")
        told = "SELECT DISTINCT _sequence, strftime(_source_timestamp, '%Y-%m-%d %H:%M') FROM changes.stock"
        assert lake.rows(told) == [([202501100600, 1], "2025-01-10 06:00")]

    def test_an_object_without_a_date_is_refused(self, tmp_path: Path) -> None:
        lake = snapshot_lake(tmp_path)
        lake.land("stock", "latest.csv", snapshot(1))
        lake.ingest("stock")
        ((_, _, reason),) = lake.refused("stock")
        assert reason.startswith("the name has no date as ")


class TestAbsence:
    def test_a_snapshot_is_a_truncate_and_reads_of_its_date(self, tmp_path: Path) -> None:
        lake = snapshot_lake(tmp_path)
        lake.land("stock", "2025-01-03.csv", snapshot(1, 2))
        lake.ingest("stock")
        told = "SELECT _op, id, _landing_row, _sequence, _source_timestamp::DATE::VARCHAR FROM"
        assert lake.rows(f"{told} changes.stock ORDER BY ALL") == [
            ("r", 1, 2, [20250103, 1], "2025-01-03"),
            ("r", 2, 3, [20250103, 1], "2025-01-03"),
        ]
        (truncates,) = lake.ledger("stock").parts["truncates"]
        with lake.connection() as connection:
            found = connection.execute(f"{told} read_parquet('{lake.store.path(truncates.key)}')").fetchall()
        assert found == [("t", None, None, [20250103, 0], "2025-01-03")]

    def test_an_absent_key_is_gone_as_of_the_date_and_may_come_back(self, tmp_path: Path) -> None:
        lake = snapshot_lake(tmp_path)
        lake.land("stock", "2025-01-03.csv", snapshot(1, 2))
        lake.ingest("stock")
        lake.land("stock", "2025-01-05.csv", snapshot(1, 3, note="y"))
        lake.ingest("stock")
        assert left(lake) == [(1, "y"), (3, "y")]
        lake.land("stock", "2025-01-04.csv", snapshot(2, 4, note="late"))
        lake.ingest("stock")
        assert left(lake) == [(1, "y"), (3, "y")]
        lake.land("stock", "2025-01-06.csv", snapshot(2, note="back"))
        lake.ingest("stock")
        assert left(lake) == [(2, "back")]

    def test_an_empty_snapshot_empties_the_table(self, tmp_path: Path) -> None:
        lake = snapshot_lake(tmp_path)
        lake.land("stock", "2025-01-03.csv", snapshot(1, 2))
        lake.land("stock", "2025-01-05.csv", snapshot())
        lake.ingest("stock")
        assert left(lake) == []

    def test_several_objects_make_one_snapshot(self, tmp_path: Path) -> None:
        lake = snapshot_lake(tmp_path, Snapshot(share=0, files=2))
        lake.land("stock", "dt=2025-01-03/1.csv", snapshot(1, 2))
        lake.land("stock", "dt=2025-01-03/2.csv", snapshot(3))
        lake.land("stock", "dt=2025-01-04/1.csv", snapshot(1))
        lake.ingest("stock")
        lake.land("stock", "dt=2025-01-04/2.csv", snapshot(4))
        lake.ingest("stock")
        assert left(lake) == [(1, "x"), (4, "x")]

    def test_documents_too(self, tmp_path: Path) -> None:
        @source(
            "docs", format=JsonDocuments(snapshot=Snapshot(share=0), records="items"), key=("id",), owner="team:x", subject="x"
        )
        class Documents(Event):
            """Documents."""

            id: str = column("Key")
            note: str = column("Text", nullable=True)

        lake = ShopLake(tmp_path, domain_of(tmp_path / "sql", [Documents], {}))
        lake.land("docs", "2025-01-05.json", b'{"items":[{"id":"a","note":"new"}]}')
        lake.land("docs", "2025-01-03.json", b'{"items":[{"id":"a"},{"id":"b"}]}')
        lake.ingest("docs")
        assert lake.rows("SELECT id, note, _sequence FROM latest.docs") == [("a", "new", [20250105, 1])]

    @settings(max_examples=8)
    @given(
        st.dictionaries(st.integers(1, 9), st.sets(st.integers(1, 5)), min_size=1, max_size=4),
        st.randoms(use_true_random=False),
        st.integers(0, 4),
    )
    def test_order_and_repetition_change_nothing(self, snapshots: dict[int, set[int]], shuffle: object, again: int) -> None:
        files = [(f"2025-01-0{day}.csv", snapshot(*sorted(ids), note=f"d{day}")) for day, ids in snapshots.items()]
        files += [
            (f"again-{n}-{name}", content) for n, (name, content) in enumerate(itertools.islice(itertools.cycle(files), again))
        ]
        shuffle.shuffle(files)  # type: ignore[attr-defined]
        with tempfile.TemporaryDirectory() as folder:
            lake = snapshot_lake(Path(folder))
            for place, (name, content) in enumerate(files):
                lake.land("stock", name, content)
                if place % 2:
                    lake.ingest("stock")
            lake.ingest("stock")
            last = max(snapshots)
            assert left(lake) == [(each, f"d{last}") for each in sorted(snapshots[last])]


class TestPublished:
    def test_a_table_follows_the_snapshots_and_a_late_one_changes_what_is_believed(self, tmp_path: Path) -> None:
        lake = snapshot_lake(tmp_path, Snapshot())
        published = "SELECT id, note FROM enriched.stock ORDER BY id"
        lake.land("stock", "2025-01-04.csv", snapshot(1, 2, note="y"))
        lake.run()
        assert lake.rows(published) == [(1, "y"), (2, "y")]
        lake.land("stock", "2025-01-05.csv", snapshot(2, note="z"))
        lake.run()
        assert lake.rows(published) == [(2, "z")]
        # Compared with the day before, that of the 4th turns out to have been a part.
        lake.land("stock", "2025-01-03.csv", snapshot(*range(1, 9)))
        lake.run()
        assert lake.rows(published) == [(each, "x") for each in range(1, 9)]
        assert lake.run().computed == {}


class TestParts:
    def test_a_snapshot_that_breaks_off_is_refused_and_changes_nothing(self, tmp_path: Path) -> None:
        lake = snapshot_lake(tmp_path)
        lake.land("stock", "2025-01-03.csv", snapshot(1, 2))
        key = lake.land("stock", "2025-01-05.csv.gz", gzip.compress(snapshot(*range(1000), note="y"))[:-200])
        lake.ingest("stock")
        assert left(lake) == [(1, "x"), (2, "x")]
        refused = lake.refused("stock")
        assert {found for found, _, _ in refused} == {key}
        assert "the file breaks off, and a part of a snapshot tells nothing" in refused[0][2]

    def test_a_key_whose_record_cannot_be_read_is_not_absent(self, tmp_path: Path) -> None:
        lake = snapshot_lake(tmp_path)
        lake.land("stock", "2025-01-03.csv", snapshot(1, 2))
        lake.land("stock", "2025-01-05.csv", b"id,note\n1,y\n2\n")
        lake.ingest("stock")
        assert left(lake) == [(1, "y"), (2, "x")]
        lake.land("stock", "2025-01-05-whole.csv", snapshot(1, note="y"))
        lake.ingest("stock")
        assert left(lake) == [(1, "y")]

    def test_nor_is_one_whose_record_has_a_value_of_another_type(self, tmp_path: Path) -> None:
        lake = snapshot_lake(tmp_path)
        lake.land("stock", "2025-01-03.csv", snapshot(1, 2))
        lake.land("stock", "2025-01-05.csv", b"id,note,pieces\n1,y,1\n2,y,many\n")
        warnings = lake.ingest("stock").warnings
        assert left(lake) == [(1, "y"), (2, "x")]
        assert [warning.split(":")[0] for warning in warnings] == [
            "the snapshot of 20250105 has 0 objects without a record in quarantine, and 1 make one"
        ]

    def test_the_trailer_of_a_snapshot_says_whether_it_is_whole(self, tmp_path: Path) -> None:
        lake = snapshot_lake(tmp_path, trailer=r"^T(\d+)$")
        lake.land("stock", "2025-01-03.csv", snapshot(1, 2) + b"T2\n")
        lake.land("stock", "2025-01-05.csv", snapshot(1) + b"T2\n")
        lake.ingest("stock")
        assert left(lake) == [(1, "x"), (2, "x")]
        lake.land("stock", "2025-01-06.csv", snapshot(1) + b"T1\n")
        lake.ingest("stock")
        assert left(lake) == [(1, "x")]

    @pytest.mark.parametrize("order", list(itertools.permutations([3, 4, 5])))
    def test_a_snapshot_much_smaller_than_the_one_before_is_refused_in_whatever_order(
        self, tmp_path: Path, order: Sequence[int]
    ) -> None:
        contents = {3: snapshot(1, 2, 3, 4), 4: snapshot(2, 3, note="new"), 5: b"id,note\n"}
        lake = snapshot_lake(tmp_path, Snapshot())
        for day in order:
            lake.land("stock", f"2025-01-0{day}.csv", contents[day])
            last = lake.ingest("stock")
        assert left(lake) == [(2, "new"), (3, "new")]
        assert [warning.split(":")[0] for warning in last.warnings] == [
            "the snapshot of 20250105 has 0 records, less than 50% of the 2 of 20250104"
        ]


def info(key: str) -> ObjectInfo:
    return ObjectInfo(f"landing/stock/{key}", "etag", 1, NOW)


class TestMarkers:
    @pytest.mark.parametrize(
        ("marker", "objects"),
        [
            ("_SUCCESS", ["dt=2025-01-03/a.csv", "dt=2025-01-03/_SUCCESS", "dt=2025-01-04/a.csv", "a.csv"]),
            ("*.done", ["2025-01-03.csv", "2025-01-03.done", "2025-01-04.csv", "a.csv"]),
        ],
    )
    def test_objects_wait_for_the_marker_of_their_date(self, tmp_path: Path, marker: str, objects: list[str]) -> None:
        lake = snapshot_lake(tmp_path, Snapshot(marker=marker))
        arrived = sort_out([info(key) for key in objects], lake.source("stock"))
        assert arrived.ready == (info(objects[0]), info("a.csv"))
        assert arrived.waiting == (info(objects[2]),)

    def test_without_a_marker_nothing_waits(self, tmp_path: Path) -> None:
        objects = (info("2025-01-03.csv"), info("_SUCCESS"))
        assert sort_out(objects, snapshot_lake(tmp_path).source("stock")).ready == objects

    def test_a_marked_snapshot_is_whole_however_small(self, tmp_path: Path) -> None:
        lake = snapshot_lake(tmp_path, Snapshot(marker="_SUCCESS"))
        lake.land("stock", "dt=2025-01-03/a.csv", snapshot(1, 2, 3, 4))
        lake.land("stock", "dt=2025-01-03/_SUCCESS", b"")
        lake.land("stock", "dt=2025-01-04/a.csv", snapshot(1))
        lake.ingest("stock")
        assert [row[0] for row in left(lake)] == [1, 2, 3, 4]
        lake.land("stock", "dt=2025-01-04/_SUCCESS", b"")
        lake.ingest("stock")
        assert [row[0] for row in left(lake)] == [1]
        assert lake.ingest("stock").batches == []
        assert lake.refused("stock") == []


class TestJudging:
    def test_each_is_compared_with_the_last_that_was_not_refused(self) -> None:
        counts = {1: Counted(100), 2: Counted(10), 3: Counted(12), 4: Counted(60), 5: Counted(30), 6: Counted(14)}
        assert set(judge(counts, Snapshot()).refused) == {2, 3, 6}
        assert set(judge(counts, Snapshot(accepted=("2",))).refused) == {6}
        assert judge(counts, Snapshot(), declares_size=True).refused == {}

    def test_a_declared_share_is_what_counts(self) -> None:
        counts = {1: Counted(100), 2: Counted(94)}
        assert set(judge(counts, Snapshot(share=0.95)).refused) == {2}
        assert set(judge(counts, Snapshot(share=0)).refused) == set()

    def test_absences_mean_nothing_until_as_many_clean_objects_landed_as_are_declared(self) -> None:
        counts = {1: Counted(10, refused=1, clean=1), 2: Counted(10, clean=2), 3: Counted(10, refused=3, clean=2)}
        assert set(judge(counts, Snapshot(files=2)).unbounded) == {1}
        assert set(judge(counts, Snapshot(marker="_SUCCESS")).unbounded) == {1, 3}
        assert set(judge(counts, Snapshot(files=2, accepted=("1",))).unbounded) == set()

    def test_objects_of_the_same_content_count_once(self, tmp_path: Path) -> None:
        stock = snapshot_lake(tmp_path).source("stock")
        landed = [
            LandedObject("landing/stock/2025-01-03.csv", "a", 5, 0),
            LandedObject("landing/stock/again-2025-01-03.csv", "a", 5, 0),
            LandedObject("landing/stock/more-2025-01-03.csv", "b", 4, 1),
            LandedObject("landing/stock/other.csv", "c", 9, 0),
        ]
        assert counted(landed, stock) == {20250103: Counted(4 + 2, refused=1, clean=1)}
