"""CSV archives as the years have left them: encodings, delimiters, names, numbers and dates."""

from __future__ import annotations

import codecs
import gzip
import io
import tempfile
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_source import RateOfDay, RowOfAllKinds, lake_of
from shop_lake import ShopLake

from assay.contracts import Daily
from assay.landing.formats import Csv, DateFormat, Unpivot

WINDOWS, UTF8 = "Müller – 5 €".encode("cp1252"), "Łódź – 5 €".encode()


def archive_lake(folder: Path, form: Csv) -> ShopLake:
    return lake_of(folder, "archive", RowOfAllKinds, format=form)


def read(folder: Path, form: Csv, content: bytes, columns: str = "id, note", name: str = "a.csv") -> list[tuple[object, ...]]:
    lake = archive_lake(folder, form)
    lake.land("archive", name, content)
    lake.ingest("archive")
    return lake.rows(f"SELECT {columns} FROM changes.archive ORDER BY id")


def reasons(folder: Path, form: Csv, content: bytes, name: str = "a.csv") -> list[str]:
    lake = archive_lake(folder, form)
    lake.land("archive", name, content)
    lake.ingest("archive")
    return [reason for _, _, reason in lake.refused("archive")]


def as_written(text: str, encoding: str) -> str:
    """What a text's bytes say: a few texts of Windows' hold valid UTF-8, and nobody can tell."""
    return text.encode(encoding).decode("utf-8", errors="of windows")


codecs.register_error("of windows", lambda error: (error.object[error.start : error.end].decode("cp1252"), error.end))


class TestEncodings:
    @pytest.mark.parametrize("zip_it", [False, True], ids=["plain", "gzip"])
    def test_each_field_is_read_by_itself_and_repairs_are_told(self, tmp_path: Path, zip_it: bool) -> None:
        content = b"id,note,day\n1," + UTF8 + b",\n2," + WINDOWS + b',2025-01-03\n3,"a\n' + WINDOWS + b'",\n'
        lake = archive_lake(tmp_path, Csv())
        key = lake.land("archive", "a.csv", gzip.compress(content) if zip_it else content)
        done = lake.ingest("archive")
        assert lake.rows("SELECT id, note, day::VARCHAR FROM changes.archive ORDER BY id") == [
            (1, "Łódź – 5 €", None),
            (2, "Müller – 5 €", "2025-01-03"),
            (3, "a\nMüller – 5 €", None),
        ]
        assert lake.refused("archive") == []
        assert done.warnings == [
            f"{key}: 2 fields are not UTF-8, the other bytes read as Windows-1252; the first is note on line 3."
        ]

    def test_a_stray_byte_leaves_the_characters_beside_it(self, tmp_path: Path) -> None:
        assert read(tmp_path, Csv(), b"id,note\n1,\xc3\xa9\xe9\n") == [(1, "éé")]

    @pytest.mark.parametrize("of", ["utf-8", "utf-16", "beside a stray byte", "workbook"])
    def test_a_character_that_was_lost_before_is_kept_and_told(self, tmp_path: Path, of: str) -> None:
        rows = [["id", "note"], ["1", "x"], ["2", "M\ufffdller"], ["3", "\ufffd"]]
        text = "".join(",".join(row) + "\n" for row in rows)
        content = text.encode() if of == "utf-8" else text.encode("utf-16")
        if of == "beside a stray byte":
            content = text.encode().replace(b"x", b"\xe9")
        if of == "workbook":
            book = openpyxl.Workbook()
            for row in rows:
                book.active.append(row)
            written = io.BytesIO()
            book.save(written)
            content = written.getvalue()
        lake = archive_lake(tmp_path, Csv())
        key = lake.land("archive", "a.csv", content)
        done = lake.ingest("archive")
        assert lake.rows("SELECT note FROM changes.archive WHERE id > 1 ORDER BY id") == [("M\ufffdller",), ("\ufffd",)]
        assert done.warnings[-1:] == [
            f"{key}: 2 fields have a U+FFFD where a character was lost before it landed, kept as it is; "
            "the first is note on line 3."
        ]
        assert len(done.warnings) == (2 if of == "beside a stray byte" else 1)

    def test_names_in_the_header_are_told_too(self, tmp_path: Path) -> None:
        lake = archive_lake(tmp_path, Csv())
        key = lake.land("archive", "a.csv", "id,Gr\ufffdße\n1,2\n".encode())
        assert lake.ingest("archive").warnings[:1] == [
            f"{key}: 1 field has a U+FFFD where a character was lost before it landed, kept as it is; "
            "the first is Gr\ufffdße on line 1."
        ]

    def test_a_repaired_file_does_not_slow_or_change_its_neighbours(self, tmp_path: Path) -> None:
        lake = archive_lake(tmp_path, Csv())
        lake.land("archive", "a.csv", b"id,note\n1," + UTF8 + b"\n")
        lake.land("archive", "b.csv", b"id,note\n2," + WINDOWS + b"\n")
        done = lake.ingest("archive")
        assert lake.rows("SELECT id, note, _landing_row FROM changes.archive ORDER BY id") == [
            (1, UTF8.decode(), 2),
            (2, "Müller – 5 €", 2),
        ]
        assert len(done.warnings) == 1

    def test_names_in_the_header_are_repaired_too(self, tmp_path: Path) -> None:
        form = Csv(columns={"note": "Größe"})
        assert read(tmp_path, form, "id,Größe\n1,x\n".encode("cp1252")) == [(1, "x")]

    @pytest.mark.parametrize("kind", ["utf-16-le", "utf-16-be"])
    def test_utf16_with_its_mark(self, tmp_path: Path, kind: str) -> None:
        assert read(tmp_path, Csv(), "\ufeffid,note\r\n1,Łódź 😀\r\n2,\r\n".encode(kind)) == [(1, "Łódź 😀"), (2, None)]

    def test_utf16_with_bad_records_keeps_the_others_and_tells_the_byte(self, tmp_path: Path) -> None:
        lake = archive_lake(tmp_path, Csv())
        head, bad = "\ufeffid,note\n1,é\n".encode("utf-16-le"), "2\n".encode("utf-16-le")
        lone = "3,".encode("utf-16-le") + b"\x00\xd8" + "x\n".encode("utf-16-le")
        end = len(head + bad + lone) + len("4,ö".encode("utf-16-le"))
        lake.land("archive", "a.csv", head + bad + lone + "4,ö".encode("utf-16-le") + b"x")
        lake.ingest("archive")
        assert lake.rows("SELECT id, note FROM changes.archive ORDER BY id") == [(1, "é"), (4, "ö")]
        assert sorted((line, reason) for _, line, reason in lake.refused("archive")) == [
            (
                1,
                f"the file is damaged from here on: the UTF-16 text ends within a character (at byte {end})",
            ),
            (3, f"1 fields where the header has 2 (at byte {len(head)})"),
            (4, f"half a surrogate pair: not valid UTF-16 (at byte {len(head + bad)})"),
        ]

    @settings(max_examples=12)
    @given(
        st.lists(
            st.tuples(
                st.text(st.sampled_from("ab ,;\"'\n|éüß€–ñ")),
                st.sampled_from(["utf-8", "cp1252"]),
            ),
            min_size=1,
            max_size=8,
        )
    )
    def test_any_text_in_either_encoding_comes_out_as_it_was(self, notes: list[tuple[str, str]]) -> None:
        def field(text: str, encoding: str) -> bytes:
            return b'"' + text.replace('"', '""').encode(encoding) + b'"'

        content = b"id,note\n" + b"".join(b"%d," % n + field(*note) + b"\n" for n, note in enumerate(notes))
        with tempfile.TemporaryDirectory() as folder:
            found = read(Path(folder), Csv(nulls=()), content)
        assert found == [(n, as_written(text, encoding)) for n, (text, encoding) in enumerate(notes)]


class TestDelimiters:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    def test_it_is_found_in_the_header_of_each_file(self, tmp_path: Path, delimiter: str) -> None:
        content = delimiter.join(["id", "day", '"no,te;|"']) + "\n" + delimiter.join(["1", "2025-01-03", '"a,b;c|d"']) + "\n"
        assert read(tmp_path, Csv(delimiter=None, columns={"note": "no,te;|"}), content.encode()) == [(1, "a,b;c|d")]

    def test_of_several_the_one_that_finds_the_key(self, tmp_path: Path) -> None:
        form = Csv(delimiter=None, columns={"note": "note, free text"})
        assert read(tmp_path, form, b"id;day;note, free text\n1;2025-01-03;x\n") == [(1, "x")]

    def test_one_that_cannot_be_told_is_refused(self, tmp_path: Path) -> None:
        expected = "the delimiter may be comma or semicolon: declare it (Csv(delimiter=…))"
        assert reasons(tmp_path, Csv(delimiter=None), b"other,x;more\n1,2;3\n") == [expected]

    def test_a_file_of_one_column_needs_none(self, tmp_path: Path) -> None:
        assert read(tmp_path, Csv(delimiter=None), b"id\n1\n") == [(1, None)]


class TestNames:
    def test_each_year_may_have_its_own(self, tmp_path: Path) -> None:
        lake = archive_lake(tmp_path, Csv(columns={"id": ("KEY", "Key No"), "note": ("TEXT", "Remark")}))
        lake.land("archive", "2001.csv", b"KEY,TEXT\n1,x\n")
        lake.land("archive", "2009.csv", b"Remark,Key No,New\ny,2,z\n")
        lake.ingest("archive")
        assert lake.rows("SELECT id, note, _rescued FROM changes.archive ORDER BY id") == [
            (1, "x", None),
            (2, "y", '{"New":"z"}'),
        ]

    def test_two_names_of_one_column_are_refused(self, tmp_path: Path) -> None:
        form = Csv(columns={"id": ("KEY", "Key No")})
        assert reasons(tmp_path, form, b"KEY,Key No\n1,2\n") == ["the header names id twice, as KEY and as Key No"]

    def test_a_header_without_any_of_a_keys_names_is_refused(self, tmp_path: Path) -> None:
        form = Csv(columns={"id": ("KEY", "Key No")})
        expected = "the header lacks KEY or Key No: a file of another table, or its layout changed"
        assert reasons(tmp_path, form, b"Key,x\n1,2\n") == [expected]

    def test_names_that_differ_by_case_are_one(self, tmp_path: Path) -> None:
        assert reasons(tmp_path, Csv(), b"id,Note,note\n1,2,3\n") == ["the header names Note, note twice"]


class TestNothing:
    FILE = b'id,note,amount\n1,"",\n2,NULL,\n3,"NULL",""\n4,,1\n'

    @pytest.mark.parametrize("damage", [b"", b"9\n"], ids=["whole", "record by record"])
    @pytest.mark.parametrize(
        ("form", "notes"),
        [
            (Csv(), [None, "NULL", "NULL", None]),
            (Csv(nulls=("NULL",)), ["", None, None, ""]),
            (Csv(nulls=("NULL",), quoted_nulls=False), ["", None, "NULL", ""]),
            (Csv(nulls=("", "NULL"), quoted_nulls=False), ["", None, "NULL", None]),
            (Csv(nulls=()), ["", "NULL", "NULL", ""]),
        ],
        ids=["default", "NULL", "bare NULL", "bare both", "none"],
    )
    def test_an_empty_text_a_null_and_a_missing_column_are_three_things(
        self, tmp_path: Path, form: Csv, notes: list[str | None], damage: bytes
    ) -> None:
        found = read(tmp_path, form, self.FILE + damage, "note, amount::VARCHAR, _missing")
        amounts = [None, None, None, "1.00"]
        assert found == [(note, amount, ["day", "at", "rate"]) for note, amount in zip(notes, amounts, strict=True)]


class TestNumbers:
    @pytest.mark.parametrize(
        ("form", "written", "amount"),
        [
            (Csv(delimiter=";", decimal=","), "1234,5", "1234.50"),
            (Csv(delimiter=";", decimal=","), " -1.234.567,89 ", "-1234567.89"),
            (Csv(delimiter=";", decimal=","), "1.234", "1234.00"),
            (Csv(delimiter=";", decimal=","), "1 234 567,5", "1234567.50"),
            (Csv(delimiter=";", decimal=","), "1\u202f234,5", "1234.50"),
            (Csv(delimiter=";", decimal=","), "1'234,5", "1234.50"),
            (Csv(delimiter=";", decimal=","), ",5", "0.50"),
            (Csv(delimiter=";", thousands=","), "1,234.50", "1234.50"),
            (Csv(delimiter=";", thousands=","), "1234.50", "1234.50"),
            (Csv(delimiter=";", decimal=",", thousands=""), "1234,50", "1234.50"),
        ],
    )
    def test_as_declared(self, tmp_path: Path, form: Csv, written: str, amount: str) -> None:
        found = read(tmp_path, form, f"id;amount;note\n1;{written};{written}\n".encode(), "amount::VARCHAR, note")
        # Only numeric columns are touched.
        assert found == [(amount, written)]

    @pytest.mark.parametrize(
        ("form", "written"),
        [
            (Csv(delimiter=";", decimal=","), "1.5"),
            (Csv(delimiter=";", decimal=","), "1234.50"),
            (Csv(delimiter=";", decimal=","), "1.234 567,00"),
            (Csv(delimiter=";", decimal=","), "12.34,5"),
            (Csv(delimiter=";", decimal=","), ","),
            (Csv(delimiter=";", decimal=","), "1,5 EUR"),
            (Csv(delimiter=";", thousands=","), "1,23"),
            (Csv(delimiter=";", decimal=",", thousands=""), "1.234,5"),
        ],
    )
    def test_anything_else_is_refused_and_never_guessed(self, tmp_path: Path, form: Csv, written: str) -> None:
        (reason,) = reasons(tmp_path, form, f"id;amount\n1;{written}\n".encode())
        assert reason.startswith(f"amount is '{written}', which is no number with a decimal mark {form.decimal}")

    def test_cells_of_a_wide_file_too(self, tmp_path: Path) -> None:
        form = Csv(delimiter=";", decimal=",", unpivot=Unpivot("currency", "rate"), dates={"day": ("%d.%m.%Y",)})
        lake = lake_of(tmp_path, "rates", RateOfDay, format=form, key=("day", "currency"), partition=Daily("about", of="day"))
        lake.land("rates", "a.csv", b"day;USD;CYP\n03.01.2025;1,03;x\n31.31.2025;1,04;\n")
        lake.ingest("rates")
        assert lake.rows("SELECT day::VARCHAR, currency, rate FROM changes.rates") == [("2025-01-03", "USD", 1.03)]
        assert sorted(reason.split(",")[0] for _, _, reason in lake.refused("rates")) == ["day is '31.31.2025'", "rate is 'x'"]


class TestDates:
    BOTH = Csv(dates={"day": ("%d/%m/%Y", "%m/%d/%Y"), "at": ("%d.%m.%Y %H:%M", "%Y-%m-%d %H:%M:%S")})

    def test_each_value_by_the_one_format_that_reads_it(self, tmp_path: Path) -> None:
        content = b"id,day,at\n1,31/12/2019,03.01.2025 14:05\n2,12/31/2019,2025-01-03 14:05:06\n3,05/05/2019,\n4,,\n"
        assert read(tmp_path, self.BOTH, content, "id, day::VARCHAR, strftime(\"at\", '%Y-%m-%d %H:%M:%S')") == [
            (1, "2019-12-31", "2025-01-03 14:05:00"),
            (2, "2019-12-31", "2025-01-03 14:05:06"),
            (3, "2019-05-05", None),
            (4, None, None),
        ]

    def test_a_date_that_two_formats_read_differently_is_refused_naming_both(self, tmp_path: Path) -> None:
        assert reasons(tmp_path, self.BOTH, b"id,day\n1,03/04/2019\n") == [
            "day is '03/04/2019', which is ambiguous: %d/%m/%Y reads 2019-04-03, %m/%d/%Y reads 2019-03-04; declare which of "
            "them holds for which files (DateFormat first, last)"
        ]

    @pytest.mark.parametrize(
        ("name", "day"),
        [("x-2018-06.csv", "2019-03-04"), ("x-2019-06.csv", "2019-03-04"), ("x-2020-01.csv", "2019-04-03")],
    )
    def test_formats_hold_for_the_years_of_their_files(self, tmp_path: Path, name: str, day: str) -> None:
        formats = (DateFormat("%m/%d/%Y", last="2019"), DateFormat("%d/%m/%Y", first="202001"))
        form = Csv(version=r"(\d{4}-\d{2})", dates={"day": formats})
        assert read(tmp_path, form, b"id,day\n1,03/04/2019\n", "day::VARCHAR", name) == [(day,)]

    def test_a_file_without_a_date_has_no_format_that_is_bounded(self, tmp_path: Path) -> None:
        form = Csv(dates={"day": (DateFormat("%d/%m/%Y", first="2019"),)})
        assert reasons(tmp_path, form, b"id,day\n1,03/04/2019\n") == ["day is '03/04/2019', which no format declared reads"]

    def test_what_no_format_reads_is_refused(self, tmp_path: Path) -> None:
        said = "day is '2019-04-03', which no format declared reads (%d/%m/%Y, %m/%d/%Y)"
        assert reasons(tmp_path, self.BOTH, b"id,day\n1,2019-04-03\n") == [said]

    def test_years_of_two_and_four_digits_are_not_mixed_up(self, tmp_path: Path) -> None:
        form = Csv(dates={"day": ("%d/%m/%Y", "%d/%m/%y")})
        found = read(tmp_path, form, b"id,day\n1,03/04/19\n2,03/04/2019\n", "day::VARCHAR")
        assert found == [("2019-04-03",), ("2019-04-03",)]

    def test_a_text_column_becomes_iso_too(self, tmp_path: Path) -> None:
        form = Csv(dates={"note": ("%d.%m.%Y",)})
        assert read(tmp_path, form, b"id,note\n1,3.4.2019\n") == [(1, "2019-04-03")]

    @pytest.mark.parametrize(("serial", "day"), [("45660", "2025-01-03"), ("45660,75", "2025-01-03"), ("61", "1900-03-01")])
    def test_serial_days_of_a_spreadsheet(self, tmp_path: Path, serial: str, day: str) -> None:
        form = Csv(delimiter=";", dates={"day": ("serial",)})
        assert read(tmp_path, form, f"id;day\n1;{serial}\n".encode(), "day::VARCHAR") == [(day,)]


class TestWholeness:
    FORM = Csv(trailer=r"^TRAILER,(\d+)")

    def test_a_trailer_is_no_record(self, tmp_path: Path) -> None:
        assert read(tmp_path, self.FORM, b"id,note\n1,x\n2,y\nTRAILER,2\n\n") == [(1, "x"), (2, "y")]

    @pytest.mark.parametrize(
        ("end", "reason"),
        [
            (b"TRAILER,3\n", "the trailer tells 3 records and the file has 2: nothing of it is used."),
            (b"", "the last line is no trailer (^TRAILER,(\\d+)), so that the file is not whole: nothing of it is used."),
        ],
    )
    def test_a_file_that_is_not_whole_is_refused(self, tmp_path: Path, end: bytes, reason: str) -> None:
        lake = archive_lake(tmp_path, self.FORM)
        key = lake.land("archive", "a.csv", b"id,note\n1,x\n2,y\n" + end)
        lake.ingest("archive")
        assert lake.rows("SELECT id FROM changes.archive") == []
        assert lake.refused("archive") == [(key, 1, f"{reason} Land the whole file under a new name.")]

    def test_a_record_with_blank_lines_in_quotes_is_kept_as_it_is_beside_a_damage(self, tmp_path: Path) -> None:
        lake = archive_lake(tmp_path, Csv())
        lake.land("archive", "a.csv", b'id,note\n1,"a\n\n b"\n\n2\n3,x\n')
        lake.ingest("archive")
        assert lake.rows("SELECT id, note FROM changes.archive ORDER BY id") == [(1, "a\n\n b"), (3, "x")]
        assert [reason for _, _, reason in lake.refused("archive")] == ["1 fields where the header has 2 (at byte 19)"]
