"""Workbooks: read as the text they would have been exported as, by the same options."""

from __future__ import annotations

import datetime as dt
import io
import sys
from pathlib import Path
from typing import Any

import pytest
from one_source import RowOfAllKinds, lake_of
from shop_lake import ShopLake

from assay.landing.formats import Csv

openpyxl = pytest.importorskip("openpyxl", reason="the extra for workbooks is not installed")


def workbook(*rows: list[Any], title: str = "Sheet", first: list[Any] | None = None) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    if first is not None:
        sheet.append(first)
        sheet = book.create_sheet()
    sheet.title = title
    for row in rows:
        sheet.append(row)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def workbook_lake(folder: Path, form: Csv) -> ShopLake:
    return lake_of(folder, "sheet", RowOfAllKinds, format=form)


TIME = "strftime(\"at\", '%Y-%m-%d %H:%M:%S')"
ROWS = f"SELECT id, day::VARCHAR, {TIME}, amount::VARCHAR, rate, note, _landing_row FROM changes.sheet ORDER BY id"
HEADER = ["id", " day", "at", "amount", "rate", "note"]


class TestCells:
    @pytest.mark.parametrize(
        "form",
        [Csv(), Csv(delimiter=";", decimal=",", dates={"day": ("%d.%m.%Y", "serial"), "at": ("serial",)})],
        ids=["plain", "German"],
    )
    def test_true_numbers_and_dates_are_what_they_are_whatever_is_declared_of_texts(self, tmp_path: Path, form: Csv) -> None:
        lake = workbook_lake(tmp_path, form)
        row = [1, dt.date(2025, 1, 3), dt.datetime(2025, 1, 3, 14, 5, 6), 1234.5, 0.000001, 'a;b,\n"c"']
        lake.land("sheet", "a.xlsx", workbook(HEADER, row, [None], [2, None, None, 1000, 1e21, True]))
        lake.ingest("sheet")
        assert lake.refused("sheet") == []
        assert lake.rows(ROWS) == [
            (1, "2025-01-03", "2025-01-03 14:05:06", "1234.50", 0.000001, 'a;b,\n"c"', 2),
            (2, None, None, "1000.00", 1e21, "true", 4),
        ]

    @pytest.mark.parametrize("form", [Csv(), Csv(dates={"at": ("serial",)})], ids=["as it is", "declared"])
    def test_a_time_keeps_its_fraction_of_a_second(self, tmp_path: Path, form: Csv) -> None:
        lake = workbook_lake(tmp_path, form)
        lake.land("sheet", "a.xlsx", workbook(HEADER, [1, None, dt.datetime(2025, 1, 3, 14, 5, 6, 750_000)]))
        lake.ingest("sheet")
        assert lake.rows('SELECT epoch_ms("at") % 60000 FROM changes.sheet') == [(6750,)]

    def test_texts_of_numbers_and_dates_and_serial_days_are_read_as_declared(self, tmp_path: Path) -> None:
        lake = workbook_lake(tmp_path, Csv(decimal=",", dates={"day": ("%d.%m.%Y", "serial"), "at": ("serial",)}))
        rows = [[1, "03.01.2025", 45660.75, "1.234,50"], [2, 45660, "45660,5", "1,5"], [3, "soon", None, "1.5"]]
        lake.land("sheet", "a.xlsx", workbook(HEADER, *rows))
        lake.ingest("sheet")
        assert [row[:4] for row in lake.rows(ROWS)] == [
            (1, "2025-01-03", "2025-01-03 18:00:00", "1234.50"),
            (2, "2025-01-03", "2025-01-03 12:00:00", "1.50"),
        ]
        ((_, line, reason),) = lake.refused("sheet")
        assert (line, reason.split(",")[0]) == (4, "day is 'soon'")


class TestFiles:
    def test_a_sheet_is_found_by_its_name_and_lands_beside_text(self, tmp_path: Path) -> None:
        lake = workbook_lake(tmp_path, Csv(sheet="Data"))
        lake.land("sheet", "a.xlsx", workbook(["id", "note"], [1, "x"], title="Data", first=["cover"]))
        lake.land("sheet", "b.csv", b"id,note\n2,y\n")
        lake.ingest("sheet")
        assert lake.rows("SELECT id, note FROM changes.sheet ORDER BY id") == [(1, "x"), (2, "y")]

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (workbook(["id"], [1]), "the workbook has no sheet 'Data'; it has Sheet"),
            (workbook(["x"], [1], title="Data"), "the header lacks id: a file of another table, or its layout changed"),
            (workbook(title="Data"), "the file has no header line"),
            (workbook(["id"], [1], title="Data")[:500], "not a workbook that can be read: "),
            (b"PK\x03\x04", "not a workbook that can be read: "),
            (
                b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
                "a workbook of the kind before 2007 (.xls): save it as .xlsx and land it under a new name",
            ),
        ],
        ids=["sheet", "header", "empty", "cut", "no workbook", "old"],
    )
    def test_what_cannot_be_read_is_refused_as_a_whole(self, tmp_path: Path, content: bytes, reason: str) -> None:
        lake = workbook_lake(tmp_path, Csv(sheet="Data"))
        key = lake.land("sheet", "a.xlsx", content)
        lake.ingest("sheet")
        ((found, line, said),) = lake.refused("sheet")
        assert (found, line) == (key, 1)
        assert said.startswith(reason)

    def test_a_row_with_more_cells_than_the_header_is_refused_alone(self, tmp_path: Path) -> None:
        lake = workbook_lake(tmp_path, Csv())
        key = lake.land("sheet", "a.xlsx", workbook(["id", "note"], [1, "x", "y"], [2]))
        lake.ingest("sheet")
        assert lake.rows("SELECT id, note FROM changes.sheet") == [(2, None)]
        assert lake.refused("sheet") == [(key, 2, "3 cells where the header has 2")]

    def test_without_the_library_workbooks_are_held_and_text_is_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lake = workbook_lake(tmp_path, Csv())
        lake.land("sheet", "a.xlsx", workbook(["id"], [1]))
        lake.land("sheet", "b.csv", b"id\n2\n")
        monkeypatch.setitem(sys.modules, "openpyxl", None)
        done = lake.ingest("sheet")
        assert done.records == 1
        assert list(done.held) == ["landing/sheet/a.xlsx"]
        assert "openpyxl, which reads it, is not installed" in done.held["landing/sheet/a.xlsx"]
        assert "pip install 'assay-platform[excel]'" in done.held["landing/sheet/a.xlsx"]
        monkeypatch.undo()
        done = lake.ingest("sheet")
        assert (done.records, done.held) == (1, {})
