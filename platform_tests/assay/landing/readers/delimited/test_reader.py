"""Delimited text: by the names in each file's header, whatever their order, and past every damage."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from one_source import RateOfDay, Row, lake_of
from shop_lake import ShopLake

from assay.contracts import Daily
from assay.landing.formats import Csv, Unpivot

FILE = b"id,day,amount,note\n1,2025-01-03,1.50,first\n2,2025-01-04,2.50,second\n"


def archive_lake(folder: Path, form: Csv | None = None) -> ShopLake:
    return lake_of(folder, "archive", Row, format=form or Csv(), partition=Daily("about", of="day"), money="amount")


def kept(lake: ShopLake) -> list[tuple[object, ...]]:
    return lake.rows("SELECT id, about::VARCHAR, amount::VARCHAR, note FROM changes.archive ORDER BY id")


BOTH = [(1, "2025-01-03", "1.50", "first"), (2, "2025-01-04", "2.50", "second")]


class TestWholeFiles:
    def test_every_record_is_a_snapshot_read_with_its_line(self, tmp_path: Path) -> None:
        lake = archive_lake(tmp_path)
        key = lake.land("archive", "a.csv", FILE)
        lake.ingest("archive")
        assert kept(lake) == BOTH
        assert lake.rows("SELECT DISTINCT _op, _sequence, _missing, _rescued, _landing_object FROM changes.archive") == [
            ("r", [0], None, None, key)
        ]
        assert lake.rows("SELECT id, _landing_row, _money::VARCHAR FROM changes.archive ORDER BY 1") == [
            (1, 2, "1.5000"),
            (2, 3, "2.5000"),
        ]

    @pytest.mark.parametrize(
        "content",
        [
            b"note,amount,day,id\nfirst,1.50,2025-01-03,1\nsecond,2.50,2025-01-04,2\n",
            b"\xef\xbb\xbf" + FILE,
            FILE.replace(b"\n", b"\r\n"),
            FILE.rstrip(b"\n"),
            FILE.replace(b"first", b'"first"').replace(b"id,day", b'"id","day"'),
            FILE.replace(b"id,day", b" id , day"),
            gzip.compress(FILE),
        ],
        ids=["order", "byte-order mark", "CRLF", "no last newline", "quoted", "spaces in the header", "gzipped, not so named"],
    )
    def test_columns_are_found_by_their_names(self, tmp_path: Path, content: bytes) -> None:
        lake = archive_lake(tmp_path)
        lake.land("archive", "a.csv", content)
        lake.ingest("archive")
        assert kept(lake) == BOTH
        assert lake.refused("archive") == []

    def test_files_with_different_headers_land_together(self, tmp_path: Path) -> None:
        lake = archive_lake(tmp_path)
        lake.land("archive", "a.csv", b"id,day\n1,2025-01-03\n")
        lake.land("archive", "b.csv.gz", gzip.compress(b"day,extra,id\n2025-01-03,x,2\n"))
        assert len(lake.ingest("archive").batches) == 1
        assert lake.rows("SELECT id, _missing, _rescued, _landing_row FROM changes.archive ORDER BY id") == [
            (1, ["amount", "note"], None, 2),
            (2, ["amount", "note"], '{"extra":"x"}', 2),
        ]

    def test_mapped_names_nulls_and_delimiter(self, tmp_path: Path) -> None:
        lake = archive_lake(tmp_path, Csv(delimiter=";", columns={"id": "KEY", "note": "Free text"}, nulls=("", "NULL")))
        lake.land("archive", "a.csv", b"KEY;day;amount;Free text\n1;2025-01-03;1.50;NULL\n2;2025-01-03;;x,y\n")
        lake.ingest("archive")
        assert kept(lake) == [(1, "2025-01-03", "1.50", None), (2, "2025-01-03", None, "x,y")]

    def test_newlines_quotes_and_delimiters_within_a_field(self, tmp_path: Path) -> None:
        lake = archive_lake(tmp_path)
        lake.land("archive", "a.csv", b'id,day,amount,note\n1,2025-01-03,1,"two\nlines, ""quoted"""\n2,2025-01-03,2,x\n')
        lake.ingest("archive")
        assert [row[3] for row in kept(lake)] == ['two\nlines, "quoted"', "x"]

    def test_a_later_version_of_a_key_wins_however_it_lands(self, tmp_path: Path) -> None:
        lake = archive_lake(tmp_path, Csv(version=r"(\d{4}-\d{2}-\d{2})"))
        lake.land("archive", "z-2025-01-09.csv", b"id,day,note\n1,2025-01-03,old\n")
        lake.land("archive", "a-2025-01-10.csv", b"id,day,note\n1,2025-01-03,new\n")
        lake.ingest("archive")
        assert lake.rows("SELECT note, _sequence FROM latest.archive") == [("new", [20250110])]

    @pytest.mark.parametrize(
        "names", [("2024", "20190301"), ("2019-03-01", "2019-03"), ("2019-03", "2019"), ("2019-12", "201911")]
    )
    def test_a_year_a_month_and_a_day_are_compared_as_dates(self, tmp_path: Path, names: tuple[str, str]) -> None:
        lake = archive_lake(tmp_path, Csv(version=r"-([\d-]+)"))
        for note, name in zip(("new", "old"), names, strict=True):
            lake.land("archive", f"a-{name}.csv", f"id,day,note\n1,2025-01-03,{note}\n".encode())
        lake.ingest("archive")
        assert lake.rows("SELECT note FROM latest.archive") == [("new",)]

    def test_a_file_without_a_version_may_be_declared_the_oldest(self, tmp_path: Path) -> None:
        lake = archive_lake(tmp_path, Csv(version=r"-(\d+)", unversioned="oldest"))
        lake.land("archive", "a-1999.csv", b"id,day,note\n1,2025-01-03,new\n")
        lake.ingest("archive")
        lake.land("archive", "a.csv", b"id,day,note\n1,2025-01-03,old\n2,2025-01-03,old\n")
        lake.ingest("archive")
        assert lake.rows("SELECT id, note FROM latest.archive ORDER BY 1") == [(1, "new"), (2, "old")]

    def test_numbers_are_compared_as_numbers_where_they_are_declared(self, tmp_path: Path) -> None:
        lake = archive_lake(tmp_path, Csv(version=r"-(\d+)", versions="numbers"))
        for name in ("9", "10000", "2024"):
            lake.land("archive", f"a-{name}.csv", f"id,day,note\n1,2025-01-03,{name}\n".encode())
        lake.ingest("archive")
        assert lake.rows("SELECT note FROM latest.archive") == [("10000",)]

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("a.csv", "the name has no version as -([0-9]+)? finds one: land it under a name that has it"),
            ("a-.csv", "the name has no version as -([0-9]+)? finds one: land it under a name that has it"),
            *(
                (
                    f"a-{digits}.csv",
                    f"the version in its name, {digits}, is no year, month or day: land it under another name, or declare that "
                    'versions are numbers (Csv(versions="numbers"))',
                )
                for digits in ("7", "20190", "201913", "20190230", "201903010600")
            ),
        ],
    )
    def test_a_file_whose_version_cannot_be_told_is_refused(self, tmp_path: Path, name: str, reason: str) -> None:
        lake = archive_lake(tmp_path, Csv(version="-([0-9]+)?"))
        key = lake.land("archive", name, FILE)
        lake.land("archive", "b-2018.csv", FILE)
        lake.ingest("archive")
        assert kept(lake) == BOTH
        assert lake.refused("archive") == [(key, 1, reason)]

    def test_values_that_do_not_fit_are_refused(self, tmp_path: Path) -> None:
        lake = archive_lake(tmp_path)
        key = lake.land("archive", "a.csv", b"id,day,amount\n1,2025-01-03,1\nx,2025-01-03,1\n3,soon,1\n4,2025-01-03,abc\n")
        lake.ingest("archive")
        assert [row[0] for row in kept(lake)] == [1]
        assert lake.refused("archive") == [
            (key, 3, "the key column id is 'x', which is no BIGINT"),
            (key, 4, "day is 'soon', which is no DATE"),
            (key, 5, "amount is 'abc', which is no DECIMAL(18,2)"),
        ]


class TestUnpivot:
    def test_a_wide_file_is_one_record_a_cell(self, tmp_path: Path) -> None:
        form = Csv(columns={"day": "Date"}, unpivot=Unpivot(names="currency", values="rate"))
        lake = lake_of(tmp_path, "rates", RateOfDay, format=form, key=("day", "currency"), partition=Daily("about", of="day"))
        # The ECB's files end each line with a comma.
        key = lake.land("rates", "a.csv", b"Date,USD,CYP,\n2025-01-03,1.03,N/A,\n2025-01-02,1.02,abc,\n")
        lake.ingest("rates")
        assert lake.rows("SELECT day::VARCHAR, currency, rate FROM changes.rates ORDER BY ALL") == [
            ("2025-01-02", "USD", 1.02),
            ("2025-01-03", "USD", 1.03),
        ]
        assert lake.refused("rates") == [(key, 3, "rate is 'abc', which is no DOUBLE")]


class TestDamage:
    @pytest.mark.parametrize(
        ("bad", "reason"),
        [
            (b"7,2025-01-03", "2 fields where the header has 4"),
            (b"7,2025-01-03,1,x,y", "5 fields where the header has 4"),
            (b'7,2025-01-03,1,"open', "not a record of delimited text: "),
            (b'7,2025-01-03,1,"a"b', "not a record of delimited text: "),
        ],
        ids=["few", "many", "open quote", "text after a quote"],
    )
    @pytest.mark.parametrize("place", ["middle", "end"])
    @pytest.mark.parametrize("zip_it", [False, True], ids=["plain", "gzip"])
    def test_a_bad_record_is_refused_and_the_others_are_kept(
        self, tmp_path: Path, bad: bytes, reason: str, place: str, zip_it: bool
    ) -> None:
        lake = archive_lake(tmp_path)
        lines = FILE.splitlines()
        lines.insert(2 if place == "middle" else 3, bad)
        content = b"\n".join(lines) + b"\n"
        key = lake.land("archive", "a.csv.gz" if zip_it else "a.csv", gzip.compress(content) if zip_it else content)
        lake.ingest("archive")
        assert kept(lake) == BOTH
        ((found, line, said),) = lake.refused("archive")
        assert (found, line) == (key, 3 if place == "middle" else 4)
        assert said.startswith(reason)
        assert said.endswith(f" (at byte {content.index(bad)})")

    def test_the_records_beside_a_damage_are_as_they_would_be_without_it(self, tmp_path: Path) -> None:
        lake = archive_lake(tmp_path)
        lake.land("archive", "a.csv", b'id,day,amount,note\n1,2025-01-03,1,"two\r\nlines, ""quoted"""\n\n7,x\n2,2025-01-04,,x\n')
        lake.ingest("archive")
        assert kept(lake) == [(1, "2025-01-03", "1.00", 'two\r\nlines, "quoted"'), (2, "2025-01-04", None, "x")]
        assert lake.rows("SELECT id, _landing_row FROM changes.archive ORDER BY 1") == [(1, 2), (2, 5)]
        assert [line for _, line, _ in lake.refused("archive")] == [4]

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "the file is empty"),
            (b"\n", "the file has no header line"),
            (b"a,b\n1,2\n", "the header lacks id: a file of another table, or its layout changed"),
            (b"id,day,day\n1,2025-01-03,2025-01-03\n", "the header names day twice"),
            (b'{"id": 1}\n', "the header lacks id: a file of another table, or its layout changed"),
            (b"id,day\r1,2025-01-03\r", "its lines end with a carriage return alone, as on old Macs: save it with line feeds"),
        ],
        ids=["empty", "blank", "another table", "twice", "JSON", "carriage returns"],
    )
    def test_a_file_that_is_none_is_refused_as_a_whole(self, tmp_path: Path, content: bytes, reason: str) -> None:
        lake = archive_lake(tmp_path)
        bad = lake.land("archive", "a.csv", content)
        lake.land("archive", "b.csv", FILE)
        lake.ingest("archive")
        assert kept(lake) == BOTH
        assert lake.refused("archive") == [(bad, 1, reason)]

    def test_a_header_without_records_is_an_empty_table(self, tmp_path: Path) -> None:
        lake = archive_lake(tmp_path)
        lake.land("archive", "a.csv", b"id,day,amount,note\n")
        done = lake.ingest("archive")
        assert (done.records, done.quarantined, len(done.batches)) == (0, 0, 1)
        assert lake.ingest("archive").batches == []

    def test_half_a_gzipped_file_gives_what_it_holds(self, tmp_path: Path) -> None:
        lake = archive_lake(tmp_path)
        records = b"".join(b"%d,2025-01-03,%d.5,note %d\n" % (number, number * 7919 % 1000, number) for number in range(2000))
        whole = gzip.compress(b"id,day,amount,note\n" + records)
        lake.land("archive", "a.csv.gz", whole[: len(whole) // 2])
        done = lake.ingest("archive")
        ((_, line, reason),) = lake.refused("archive")
        assert 500 < done.records < 1500
        said, _, at = reason.partition(" (at byte ")
        assert line == done.records + 1
        assert said == "the file is damaged from here on: the compressed data ends before its end marker"
        assert records[int(at.rstrip(")").replace(",", "")) - len(b"id,day,amount,note\n") :].startswith(
            b"%d," % (done.records - 1)
        )

    def test_a_bit_flip_in_a_gzipped_file_is_survived(self, tmp_path: Path) -> None:
        lake = archive_lake(tmp_path)
        records = b"".join(b"%d,2025-01-03,%d.5,note %d\n" % (number, number * 7919 % 1000, number) for number in range(2000))
        broken = bytearray(gzip.compress(b"id,day,amount,note\n" + records))
        broken[len(broken) // 2] ^= 0xFF
        lake.land("archive", "a.csv.gz", bytes(broken))
        lake.ingest("archive")
        assert lake.refused("archive")

    def test_a_field_of_a_megabyte_beside_a_bad_record_is_kept(self, tmp_path: Path) -> None:
        lake = archive_lake(tmp_path)
        lake.land("archive", "a.csv", b"id,day,amount,note\n1,2025-01-03,1," + b"x" * 1_000_000 + b"\n2\n")
        lake.ingest("archive")
        assert lake.rows("SELECT length(note) FROM changes.archive") == [(1_000_000,)]


def test_a_record_whose_day_cannot_be_told_stops_no_other(tmp_path: Path) -> None:
    by_note = Daily("noted_on", of="note::DATE", moves="told")
    lake = lake_of(tmp_path, "rows", Row, format=Csv(), partition=by_note)
    key = lake.land("rows", "a.csv", b"id,day,amount,note\n1,2025-01-03,1,2025-01-04\n2,2025-01-03,1,soon\n")
    lake.ingest("rows")
    assert lake.rows("SELECT id, noted_on::VARCHAR FROM latest.rows") == [(1, "2025-01-04")]
    assert lake.refused("rows") == [(key, 3, "noted_on cannot be told: the date is missing or of no known form")]


def test_a_version_that_no_number_holds_is_refused_and_the_others_are_read(tmp_path: Path) -> None:
    lake = archive_lake(tmp_path, Csv(version=r"(\d+)", versions="numbers"))
    key = lake.land("archive", "a-20250103101500123456789.csv", FILE)
    lake.land("archive", "b-1.csv", FILE)
    lake.ingest("archive")
    assert kept(lake) == BOTH
    ((refused, _, reason),) = lake.refused("archive")
    assert (refused, reason[:44]) == (key, "the version in its name has 23 digits, and 1")


def test_a_column_may_be_called_as_a_file_is(tmp_path: Path) -> None:
    lake = archive_lake(tmp_path)
    lake.land("archive", "a.csv", b"id,day,amount,note,filename\n1,2025-01-03,1.50,first,x.pdf\n")
    key = lake.land("archive", "b.csv", b"id,day,amount,note,_n\n2,2025-01-03,1.50,first,7\n")
    lake.ingest("archive")
    assert lake.rows("SELECT id, _rescued FROM changes.archive") == [(1, '{"filename":"x.pdf"}')]
    assert lake.refused("archive") == [(key, 1, "the header names _n, which Assay calls something of its own: rename it")]
