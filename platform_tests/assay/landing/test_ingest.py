"""Ingesting: what landed becomes raw batches once and for all, whatever state the files are in."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import random
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from change_lines import customer, order, text, zipped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop_lake import LANDED_AT, ShopLake

from assay.lake.layout import landing_prefix
from assay.lake.ledger import LedgerLog
from assay.landing.ingest import _Work, ingest
from assay.pipeline.state import State

ALL = "SELECT order_id, _landing_object, _landing_row FROM changes.orders ORDER BY ALL"


class TestOnce:
    def test_a_second_ingest_takes_nothing(self, lake: ShopLake) -> None:
        lake.land("orders", "a.json", text(order("o1", 1)))
        first, second = lake.ingest("orders"), lake.ingest("orders")
        assert (first.records, len(first.batches)) == (1, 1)
        assert (second.records, second.batches, second.warnings) == (0, [], [])

    def test_a_late_file_with_an_old_time_is_taken(self, lake: ShopLake) -> None:
        lake.land("orders", "b.json", text(order("o2", 2)))
        lake.ingest("orders")
        lake.land("orders", "a.json", text(order("o1", 1)), at=LANDED_AT - dt.timedelta(days=900))
        assert lake.ingest("orders").records == 1

    def test_the_batch_says_what_it_read_and_wrote(self, lake: ShopLake) -> None:
        days = ["2025-01-03", "2025-01-03", "2025-01-04"]
        key = lake.land("orders", "a.json", text(*(order(f"o{n}", n, day=day, amount="1.25") for n, day in enumerate(days)), "x"))
        (batch,) = lake.ingest("orders").batches
        ((landed,),) = [batch.landed]
        assert (landed.key, landed.records, landed.quarantined) == (key, 4, 1)
        assert [(part.partition, part.rows, part.money) for part in batch.parts] == [
            ("2025-01-03", 2, "2.5000"),
            ("2025-01-04", 1, "1.2500"),
        ]
        assert [part.key for part in batch.parts] == [
            f"raw/orders/order_day={day}/2025-01-10/{batch.id}.parquet" for day in sorted(set(days))
        ]
        assert lake.ledger("orders").batches[0] == batch

    def test_the_same_landing_objects_give_the_same_raw_objects(self, tmp_path: Path) -> None:
        contents = []
        for name in ("one", "other"):
            lake = ShopLake(tmp_path / name)
            lake.land("orders", "a.json", text(order("o1", 1)))
            lake.land("orders", "b.json", text(order("o2", 2)))
            lake.ingest("orders")
            paths = [lake.store.local(info.key) for info in lake.store.list("raw/")]
            contents.append([pq.read_table(path).to_pylist() for path in paths if path])
        assert contents[0] == contents[1]

    def test_a_file_that_may_still_be_written_waits(self, lake: ShopLake) -> None:
        lake.land("orders", "a.json", text(order("o1", 1)), at=dt.datetime.now(dt.UTC) + dt.timedelta(seconds=30))
        assert lake.ingest("orders").records == 0

    def test_a_replaced_file_is_said_and_not_used(self, lake: ShopLake) -> None:
        key = lake.land("orders", "a.json", text(order("o1", 1)))
        lake.ingest("orders")
        lake.land("orders", "a.json", text(order("o1", 1), order("o2", 2)))
        again = lake.ingest("orders")
        assert again.warnings == [
            f"{key} was replaced after it was ingested; the new content is not used. Land it under a new name."
        ]
        assert lake.rows("SELECT order_id FROM changes.orders") == [("o1",)]

    def test_no_file_of_a_restored_lake_counts_as_replaced(self, lake: ShopLake, tmp_path: Path) -> None:
        lake.land("orders", "a.json", text(order("o1", 1)))
        lake.ingest("orders")
        shutil.copytree(lake.folder, tmp_path / "restored" / "lake", copy_function=shutil.copy2)
        again = ShopLake(tmp_path / "restored").ingest("orders")
        assert (again.warnings, again.batches) == ([], [])

    def test_a_deleted_file_is_said_and_its_events_stay(self, lake: ShopLake) -> None:
        key = lake.land("orders", "a.json", text(order("o1", 1)))
        lake.ingest("orders")
        lake.store.delete(key)
        assert lake.ingest("orders").warnings == [f"{key} was deleted after it was ingested; its events stay in raw.orders."]
        assert lake.rows("SELECT order_id FROM changes.orders") == [("o1",)]

    @pytest.mark.parametrize(
        ("gone", "named"),
        [
            (3, "landing/orders/00.json, landing/orders/01.json, landing/orders/02.json"),
            (
                20,
                "landing/orders/00.json, landing/orders/01.json, landing/orders/02.json, landing/orders/03.json "
                "… landing/orders/19.json",
            ),
        ],
    )
    def test_what_happened_to_many_files_is_said_once(self, lake: ShopLake, gone: int, named: str) -> None:
        keys = [lake.land("orders", f"{n:02}.json", text(order(f"o{n}", n + 1))) for n in range(20)]
        lake.ingest("orders")
        for key in keys[:gone]:
            lake.store.delete(key)
        said = [f"{gone} landing objects were deleted after they were ingested ({named}); their events stay in raw.orders."]
        assert lake.ingest("orders").warnings == said
        for key in keys[:gone]:
            lake.land("orders", key.rpartition("/")[2], text(order("o0", 1), order("another", 2)))
        assert lake.ingest("orders").warnings == [
            f"{gone} landing objects were replaced after they were ingested ({named}); "
            "the new content is not used. Land it under a new name."
        ]

    def test_a_file_that_is_gone_before_it_is_fetched_is_left_out(self, s3_store, tmp_path: Path) -> None:
        """Between the listing and the reading, a landing object of an S3 lake may be deleted or replaced."""
        lake = ShopLake(tmp_path, store=s3_store)
        s3_store.put(f"{landing_prefix('orders')}a.json", text(order("o1", 1)))
        listed = tuple(s3_store.list("landing/"))
        s3_store.delete(listed[0].key)
        log = LedgerLog(s3_store, "orders")
        with lake.connection() as connection:
            work = _Work(s3_store, connection, lake.source("orders"), tmp_path / "scratch", log)
            assert work.ingest_batch(listed) is None
        assert log.read().batches == ()

    @settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=6))
    def test_every_record_is_taken_once_however_ingests_fall_between_landings(self, tmp_path_factory, rounds) -> None:
        lake = ShopLake(tmp_path_factory.mktemp("lake"))
        landed = []
        for number, (lines, then_ingest) in enumerate(rounds):
            key = lake.land("orders", f"{number % 2}/{number}.json", text(*(order(f"o{number}", n) for n in range(lines))))
            landed += [(f"o{number}", key, line + 1) for line in range(lines)]
            if then_ingest:
                lake.ingest("orders")
        lake.ingest("orders")
        assert lake.rows(ALL) == sorted(landed)


class TestTogether:
    def test_two_ingests_at_once_record_each_object_once(self, lake: ShopLake) -> None:
        for number in range(6):
            lake.land("orders", f"{number}.json", text(*(order(f"o{number}-{n}", n) for n in range(50))))
        gate = threading.Barrier(3)

        def run(_: int) -> int:
            with lake.connection() as connection:
                gate.wait()
                return ingest(lake.store, connection, lake.source("orders"), lake.workspace.scratch).records

        with ThreadPoolExecutor(3) as pool:
            taken = sum(pool.map(run, range(3)))
        recorded = [landed.key for batch in lake.ledger("orders").batches for landed in batch.landed]
        assert taken == 300
        assert sorted(recorded) == sorted(set(recorded))
        assert len(lake.rows(ALL)) == 300

    def test_ingests_that_saw_different_files_record_each_object_once(self, lake: ShopLake) -> None:
        """One listed before a file landed, the other after: their batches overlap, and only one of them may count."""
        lake.land("orders", "a.json", text(order("o1", 1)))
        early = LedgerLog(lake.store, "orders")
        early.read()
        with lake.connection() as connection:
            ingest(lake.store, connection, lake.source("orders"), lake.workspace.scratch)
        lake.land("orders", "b.json", text(order("o2", 2)))
        lake.ingest("orders")
        (batch, *_) = lake.ledger("orders").batches
        assert not early.append(batch)
        assert [row[0] for row in lake.rows(ALL)] == ["o1", "o2"]

    def test_what_a_killed_ingest_left_behind_is_not_read(self, lake: ShopLake) -> None:
        lake.land("orders", "a.json", text(order("o1", 1)))
        lake.ingest("orders")
        log = [info.key for info in lake.store.list("audit/ingested/orders/")]
        for key in log:
            lake.store.delete(key)
        assert lake.rows(ALL) == []
        lake.ingest("orders")
        assert len(lake.rows(ALL)) == 1


class TestDamage:
    @pytest.mark.parametrize(
        ("bad", "reason"),
        [
            (b"{broken", "not valid JSON"),
            (b"\xff\xfe\x00", "not valid UTF-8"),
            (b'{"op": "caf\xe9"}', "not valid UTF-8"),
            (b'{"op": "\x01"}', "a control character (0x01) in the line"),
            (b'{"op": "\x00"}', "not valid JSON"),
            (b"\"quoted, \\\" and 'more'", "not valid JSON"),
        ],
    )
    def test_a_bad_line_is_refused_and_all_others_of_every_file_are_kept(self, lake: ShopLake, bad: bytes, reason: str) -> None:
        fine = lake.land("orders", "a.json", text(order("o1", 1), order("o2", 2)))
        key = lake.land("orders", "b.json", text(order("o3", 3)) + bad + b"\n" + text(order("o4", 4)))
        done = lake.ingest("orders")
        ((refused, line, said),) = lake.refused("orders")
        assert (refused, line, said.removesuffix(f" (at byte {len(text(order('o3', 3)))})")) == (key, 2, reason)
        assert lake.rows(ALL) == [("o1", fine, 1), ("o2", fine, 2), ("o3", key, 1), ("o4", key, 3)]
        assert (done.records, done.quarantined, len(done.batches)) == (5, 1, 1)

    @pytest.mark.parametrize("damaged", [False, True], ids=["whole", "damaged"])
    @pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
    def test_blank_lines_are_no_records_and_are_not_counted(self, lake: ShopLake, damaged: bool, end: bytes) -> None:
        lines = [
            b"",
            order("o1", 1).encode(),
            b"",
            b"   ",
            order("o2", 2).encode(),
            b"\xff" if damaged else b"",
            order("o3", 3).encode(),
            b"",
            b"",
        ]
        key = lake.land("orders", "a.json", end.join(lines))
        done = lake.ingest("orders")
        assert lake.rows(ALL) == [("o1", key, 1), ("o2", key, 2), ("o3", key, 3 + damaged)]
        assert done.records == 3 + damaged

    def test_a_last_line_without_a_newline_is_read(self, lake: ShopLake) -> None:
        lake.land("orders", "a.json", text(order("o1", 1)).rstrip())
        assert lake.ingest("orders").records == 1

    @pytest.mark.parametrize("content", [b"", gzip.compress(b"")], ids=["plain", "packed"])
    def test_an_empty_file_is_said(self, lake: ShopLake, content: bytes) -> None:
        empty = lake.land("orders", "a.json", content)
        lake.land("orders", "b.json", text(order("o1", 1)))
        lake.ingest("orders")
        assert lake.refused("orders") == [(empty, 1, "the file is empty")]
        assert len(lake.rows(ALL)) == 1

    def test_a_file_of_another_table_is_refused_line_by_line(self, lake: ShopLake) -> None:
        key = lake.land("orders", "a.json", text(customer("c1", 1), customer("c2", 2)))
        done = lake.ingest("orders")
        reason = "an event of table customers, expected orders"
        assert lake.refused("orders") == [(key, 1, reason), (key, 2, reason)]
        assert done.partitions == ()

    @pytest.mark.parametrize("name", ["a.json.gz", "a.json", "a"])
    def test_compression_is_told_by_the_bytes_not_the_name(self, lake: ShopLake, name: str) -> None:
        lake.land("orders", name, zipped(order("o1", 1)))
        lake.land("orders", "plain.json.gz", text(order("o2", 2)))
        lake.ingest("orders")
        assert [row[0] for row in lake.rows(ALL)] == ["o1", "o2"]
        assert lake.refused("orders") == []

    def test_gzip_in_several_members_is_read_whole(self, lake: ShopLake) -> None:
        lake.land("orders", "a.json.gz", zipped(order("o1", 1)) + zipped(order("o2", 2)))
        lake.ingest("orders")
        assert [row[0] for row in lake.rows(ALL)] == ["o1", "o2"]

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
    def test_a_truncated_gzip_gives_its_whole_records_and_a_refused_one(self, lake: ShopLake, share: float) -> None:
        chance = random.Random(1)
        whole = zipped(*(order(f"o{n}", n, amount=str(chance.random())) for n in range(3000)))
        key = lake.land("orders", "a.json.gz", whole[: int(share * len(whole))])
        done = lake.ingest("orders")
        kept = lake.rows("SELECT count(*), max(_landing_row) FROM changes.orders")[0]
        ((found, line, _),) = lake.refused("orders")
        assert kept == (done.records - 1, done.records - 1)
        assert (found, line) == (key, done.records)
        assert kept[0] > 2500 * share

    def test_a_gzip_cut_between_two_records_is_said_to_be_damaged(self, lake: ShopLake) -> None:
        whole = text(*(order(f"o{n}", n) for n in range(500)))
        flushed = gzip.zlib.compressobj(wbits=31)
        lake.land("orders", "a.json.gz", flushed.compress(whole) + flushed.flush(gzip.zlib.Z_SYNC_FLUSH))
        lake.ingest("orders")
        ((_, line, reason),) = lake.refused("orders")
        at = f" (at byte {len(whole):,})"
        assert (line, reason) == (501, f"the file is damaged from here on: the compressed data ends before its end marker{at}")
        assert len(lake.rows(ALL)) == 500

    def test_a_line_of_seven_megabytes_is_a_record(self, lake: ShopLake) -> None:
        lake.land("orders", "a.json", text(order("o1", 1, extra="x" * 7_000_000), order("o2", 2)))
        lake.ingest("orders")
        assert len(lake.rows(ALL)) == 2

    def test_a_line_of_200_megabytes_is_refused_in_bounded_memory(self, tmp_path: Path) -> None:
        """In a process of its own, because the greatest memory of this one says nothing."""
        script = Path(__file__).with_name("ingest_in_process.py")
        ran = subprocess.run([sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, check=True)
        small, large = json.loads(ran.stdout)
        assert small["orders"]["refused"] == [[2, "the line is 9,000,000 bytes long; 8,388,608 is the most (at byte 244)"]]
        assert large["orders"]["refused"] == [[2, "the line is 200,000,000 bytes long; 8,388,608 is the most (at byte 244)"]]
        assert large["archive"]["refused"] == [[2, "the line is 200,000,000 bytes long; 8,388,608 is the most (at byte 9)"]]
        assert {found["kept"] for found in (*small.values(), *large.values())} == {2}
        assert large["orders"]["peak_kb"] - small["archive"]["peak_kb"] < 50_000


class TestMoney:
    def test_the_ledger_adds_up_what_the_events_say(self, lake: ShopLake) -> None:
        amounts = ["0.10", "0.20", "abc", None, "-3"]
        lake.land("orders", "a.json", text(*(order(f"o{n}", n, amount=amount) for n, amount in enumerate(amounts))))
        (batch,) = lake.ingest("orders").batches
        assert [Decimal(part.money) for part in batch.parts] == [Decimal("-2.70")]

    def test_the_books_of_the_source_are_those_of_its_ledger(self, lake: ShopLake) -> None:
        lake.land("orders", "a.json", text(order("o1", 1), "x"))
        lake.ingest("orders")
        assert State(lake.workspace).ledger("orders").parts["2025-01-03"][0].rows == 1
