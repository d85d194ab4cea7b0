"""What has landed and was not ingested: nothing is missed and nothing is taken twice, whatever the clocks say."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shop import DOMAIN

from assay.lake.ledger import Batch, LandedObject, Ledger
from assay.lake.store import ObjectInfo
from assay.landing.batches.outstanding import BATCH_BYTES, BATCH_OBJECTS, PART_OBJECTS, batch_id, batches, cuts, outstanding

AT = dt.datetime(2025, 1, 10, tzinfo=dt.UTC)


def listed(name: str, etag: str = "1", size: int = 1, at: dt.datetime = AT) -> ObjectInfo:
    return ObjectInfo(f"landing/orders/{name}", etag, size, at)


def ledger(*infos: ObjectInfo) -> Ledger:
    landed = tuple(LandedObject(info.key, info.etag, 1, 0) for info in infos)
    return Ledger("orders", (Batch("b", "v", landed, ()),))


NOTHING = Ledger("orders", ())


class TestOutstanding:
    def test_objects_of_one_time_are_all_new(self) -> None:
        found = outstanding([listed("b"), listed("a"), listed("c")], NOTHING)
        assert [info.key[-1] for info in found.new] == ["a", "b", "c"]

    def test_an_object_older_than_every_ingested_one_is_new(self) -> None:
        late = listed("late", at=AT - dt.timedelta(days=400))
        assert outstanding([listed("a"), late], ledger(listed("a"))).new == (late,)

    def test_an_ingested_object_is_not_new(self) -> None:
        found = outstanding([listed("a")], ledger(listed("a")))
        assert (found.new, found.unsettled, found.replaced, found.deleted) == ((), (), (), ())

    def test_another_version_of_an_ingested_object_is_replaced(self) -> None:
        changed = listed("a", etag="2")
        found = outstanding([changed], ledger(listed("a")))
        assert found.replaced == (changed,)
        assert found.new == ()

    def test_an_ingested_object_that_is_gone_is_deleted(self) -> None:
        found = outstanding([], ledger(listed("b"), listed("a")))
        assert found.deleted == ("landing/orders/a", "landing/orders/b")

    def test_a_young_object_waits_until_it_has_settled(self) -> None:
        young = listed("a", at=AT)
        assert outstanding([young], NOTHING, AT - dt.timedelta(seconds=1)).unsettled == (young,)
        assert outstanding([young], NOTHING, AT).new == (young,)

    @pytest.mark.parametrize(
        "name", ["x.json.tmp", "x.part", "x.partial", ".hidden", "x.crdownload", "x.filepart", "day_$folder$", "folder/"]
    )
    def test_an_unfinished_file_is_left_alone(self, name: str) -> None:
        found = outstanding([listed(name)], NOTHING)
        assert (found.new, found.unsettled) == ((), ())

    def test_a_name_that_only_looks_unfinished_is_taken(self) -> None:
        names = ["tmp.json", "x.tmp.json", "partial/x.json", "part-0001.json"]
        assert len(outstanding(map(listed, names), NOTHING).new) == len(names)

    @given(st.data())
    def test_no_interleaving_of_landings_and_ingests_misses_or_repeats_an_object(self, data: st.DataObject) -> None:
        waiting = data.draw(st.lists(st.integers(0, 99).map(str), unique=True, max_size=12))
        hours = st.integers(-2, 2).map(lambda hour: AT + dt.timedelta(hours=hour))
        landed: list[ObjectInfo] = []
        taken: list[str] = []
        recorded: tuple[Batch, ...] = ()
        for _ in range(data.draw(st.integers(0, 4))):
            arriving = data.draw(st.integers(0, len(waiting)))
            landed += [listed(name, at=data.draw(hours)) for name in waiting[:arriving]]
            waiting = waiting[arriving:]
            settled_before = data.draw(st.none() | hours)
            listing = reversed(landed) if data.draw(st.booleans()) else landed
            new = outstanding(listing, Ledger("orders", recorded), settled_before).new
            # An ingest may be killed between two batches: only what it has recorded counts.
            kept = new[: data.draw(st.integers(0, len(new)))]
            taken += [info.key for info in kept]
            recorded += (Batch("b", "v", tuple(LandedObject(info.key, info.etag, 1, 0) for info in kept), ()),)
        taken += [info.key for info in outstanding(landed, Ledger("orders", recorded)).new]
        assert sorted(taken) == sorted(info.key for info in landed)


class TestBatches:
    @given(st.lists(st.integers(0, 2 * BATCH_BYTES), max_size=40))
    def test_batches_are_bounded_and_hold_every_object_in_order(self, sizes: list[int]) -> None:
        objects = [listed(f"{place:03}", size=size) for place, size in enumerate(sizes)]
        cut = list(batches(objects))
        assert [info for batch in cut for info in batch] == objects
        assert all(len(batch) == 1 or sum(info.size for info in batch) <= BATCH_BYTES for batch in cut)

    def test_a_batch_has_a_greatest_number_of_objects(self) -> None:
        cut = list(batches([listed(f"{place:05}", size=0) for place in range(2 * BATCH_OBJECTS + 1)]))
        assert [len(batch) for batch in cut] == [BATCH_OBJECTS, BATCH_OBJECTS, 1]

    @pytest.mark.parametrize(
        ("megabytes", "expected"),
        [
            ([1, 1, 1], [3]),
            ([4, 4], [4, 4]),
            ([5, 5, 5, 1], [10, 6]),
            ([20, 6, 6], [20, 12]),
            ([12] * 8, [24, 24, 24, 24]),
            ([15] * 10, [30, 30, 30, 30, 15, 15]),
            ([20] * 3, [20, 20, 20]),
        ],
        ids=["small", "worth two", "uneven", "one is large", "large", "odd", "odd, and not to be cut"],
    )
    def test_two_threads_have_as_much_to_read(self, megabytes: list[int], expected: list[int]) -> None:
        cut = batches([listed(f"{place:03}", size=each * 1024**2) for place, each in enumerate(megabytes)])
        assert [sum(info.size for info in batch) // 1024**2 for batch in cut] == expected

    def test_nothing_makes_no_batch(self) -> None:
        assert list(batches([])) == []


class TestBatchId:
    def test_a_batch_is_named_by_its_content_in_whatever_order(self) -> None:
        orders = DOMAIN.sources["orders"]
        one, other = listed("a"), listed("b")
        assert batch_id([one, other], orders) == batch_id([other, one], orders)

    def test_another_version_or_source_has_another_name(self) -> None:
        orders, customers = DOMAIN.sources["orders"], DOMAIN.sources["customers"]
        names = {batch_id([listed("a")], orders), batch_id([listed("a", etag="2")], orders), batch_id([listed("a")], customers)}
        assert len(names) == 3


class TestCuts:
    def test_a_short_listing_is_not_cut(self) -> None:
        assert cuts(NOTHING) == []
        assert cuts(ledger(listed("a"), listed("b"))) == []

    def test_parts_have_as_many_ingested_objects_each(self) -> None:
        known = [listed(f"{number:06}") for number in range(3 * PART_OBJECTS)]
        found = cuts(ledger(*reversed(known)))
        assert found == [known[part * PART_OBJECTS - 1].key for part in (1, 2, 3)]
