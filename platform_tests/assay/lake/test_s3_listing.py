"""Whatever the order of a server and wherever a listing is cut, all objects are listed, and each once."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.lake import ObjectStore, s3_listing
from assay.lake.s3_listing import goes_on, list_in_parts
from assay.lake.store import ObjectInfo

AT = dt.datetime(2025, 1, 10, tzinfo=dt.UTC)
# A server's order is that of this list, which is no order of strings.
UNIVERSE = [f"{number * 37 % 60:02}" for number in range(60)]
TREE = ["a/x", "a/y/1", "a/y/2", "a.txt", "a-b/x", "a b/c+d", "ä/1", "ä/2", "A/é/z", "b%20", "b/c.d/e", "b/c/e", "c!", "c~/q"]


@dataclass
class Server:
    """Lists what there is, in its own order; what there is may change between two pages."""

    before: frozenset[str]
    after: frozenset[str]
    changes_at: int
    page: int
    asked: Iterator[int] = field(default_factory=itertools.count)

    def pages(self, after: str) -> Iterator[list[ObjectInfo]]:
        place = UNIVERSE.index(after) + 1 if after else 0
        while place < len(UNIVERSE):
            present = self.before if next(self.asked) < self.changes_at else self.after
            # A page may hold nothing and still not be the last.
            page, place = UNIVERSE[place : place + self.page], place + self.page
            yield [ObjectInfo(key, "1", 1, AT) for key in page if key in present]


subsets = st.frozensets(st.sampled_from(UNIVERSE))


class TestParts:
    @given(present=subsets, cuts=subsets, page=st.integers(1, 70))
    def test_all_is_listed_once_wherever_it_is_cut(self, present: frozenset[str], cuts: frozenset[str], page: int) -> None:
        server = Server(present, present, 0, page)
        assert sorted(info.key for info in list_in_parts(server.pages, cuts)) == sorted(present)

    @given(before=subsets, after=subsets, cuts=subsets, changes_at=st.integers(0, 60), page=st.integers(1, 20))
    def test_what_changes_meanwhile_hides_nothing_else(
        self, before: frozenset[str], after: frozenset[str], cuts: frozenset[str], changes_at: int, page: int
    ) -> None:
        found = [info.key for info in list_in_parts(Server(before, after, changes_at, page).pages, cuts)]
        assert before & after <= set(found) <= before | after
        assert len(found) == len(set(found))

    def test_an_error_of_one_part_is_one_of_all(self) -> None:
        def pages(after: str) -> Iterator[list[ObjectInfo]]:
            yield [ObjectInfo(f"{after}1", "1", 1, AT)]
            raise OSError("gone")

        with pytest.raises(OSError, match="gone"):
            list(list_in_parts(pages, ["a", "b"]))


def test_a_bucket_without_order_is_listed_in_one_part() -> None:
    assert goes_on("payments-lake") and not goes_on("payments-lake--use1-az4--x-s3")


class TestServer:
    @pytest.mark.parametrize("gone", [[], TREE[::2], TREE[1::2], TREE[:7]])
    def test_a_listing_after_a_key_goes_on_in_its_own_order(
        self, s3_store: ObjectStore, gone: Sequence[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(s3_listing, "PAGE_OBJECTS", 3)
        for key in TREE:
            s3_store.put(key, key.encode())
        for key in gone:
            s3_store.delete(key)
        whole = sorted(s3_store.list(""), key=lambda info: info.key)
        assert [info.key for info in whole] == sorted(set(TREE) - set(gone))
        for cuts in (TREE, TREE[::3], TREE[1::4]):
            assert sorted(s3_store.list("", cuts), key=lambda info: info.key) == whole
        below = [key for key in TREE if key.startswith("a")]
        assert {info.key for info in s3_store.list("a", below)} == set(below) - set(gone)
