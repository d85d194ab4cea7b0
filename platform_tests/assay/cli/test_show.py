"""How results are shown: whole, and readable whatever their width."""

from __future__ import annotations

import io

import duckdb
import pytest
from rich.console import Console

from assay.cli.show import output, print_report, print_rows
from assay.pipeline.outcome import Report


def shown(sql: str, width: int, title: str | None = None) -> str:
    out = io.StringIO()
    with duckdb.connect() as connection:
        print_rows(Console(file=out, width=width), connection.sql(sql), title)
    return out.getvalue()


WIDE = "SELECT " + ", ".join(f"{number} AS a_long_name_{number:02}" for number in range(20))


def test_a_narrow_result_is_a_grid() -> None:
    assert "┃ one ┃ two ┃" in shown("SELECT 1 AS one, 2 AS two", 60)


def test_a_result_that_is_too_wide_is_shown_row_by_row() -> None:
    lines = shown(f"{WIDE} FROM range(3)", 60, "a title").splitlines()
    assert lines[0] == "a title"
    assert [line.split() for line in lines if line.startswith("a_long_name_07")] == [["a_long_name_07", "7"]] * 3
    assert [line.strip() for line in lines if line.startswith("row ")] == ["row 1", "row 2", "row 3"]


@pytest.mark.parametrize(("sql", "rows"), [(f"{WIDE} FROM range(11)", 10), ("SELECT 1 AS one FROM range(51)", 50)])
def test_what_is_left_out_is_said(sql: str, rows: int) -> None:
    assert f"the first {rows} rows;" in shown(sql, 60)


@pytest.mark.parametrize("sql", [f"{WIDE} LIMIT 0", "SELECT 1 AS one LIMIT 0"])
def test_an_empty_result_says_so(sql: str) -> None:
    assert shown(sql, 60).endswith("no rows\n")


def test_brackets_of_values_and_reasons_are_no_markup() -> None:
    assert "[/x] [red]" in shown("SELECT '[/x] [red]' AS text", 60)
    report = Report()
    report.failures = {"marts.x": {"all": ("no function sum(VARCHAR[]) [/here]",)}}
    out = io.StringIO()
    print_report(Console(file=out, width=200), report)
    assert "sum(VARCHAR[]) [/here]" in out.getvalue()


def test_colons_of_values_are_no_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    with duckdb.connect() as connection:
        print_rows(output(), connection.sql("SELECT 'root:x:0, :warning:' AS text"))
    assert "root:x:0, :warning:" in capsys.readouterr().out
