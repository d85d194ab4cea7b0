"""Excel workbooks: rewritten as delimited text, as their source declares it.

Belongs here: `.xlsx` files. Does not belong here: what the text means, which is read like any other (`reader`).

Real numbers are written with the declared decimal mark and real dates in ISO 8601; texts, and serial numbers in cells that are
not formatted as dates, are kept as they are.
"""

from __future__ import annotations

import datetime as dt
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from assay.landing.files.containers import openpyxl_library
from assay.landing.formats import Csv

_ZIP = b"PK\x03\x04"
_OLD_WORKBOOK = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


class UnreadableWorkbookError(Exception):
    """A file that begins like a workbook, but cannot be read as one."""


def is_workbook(start: bytes) -> bool:
    """Whether a file begins as a workbook does, of the current kind or of the one before 2007."""
    return start.startswith((_ZIP, _OLD_WORKBOOK))


def workbook_rows(path: Path, form: Csv) -> Iterator[tuple[int, list[str | None]]]:
    """Read a sheet's rows; those without any value are left out.

    Args:
        path: The file.
        form: Its declared format.

    Yields:
        The row's number as the sheet shows it, and its cells; None is an empty cell.

    Raises:
        UnreadableWorkbookError: The file is damaged, is not a workbook, or lacks the sheet.
        LibraryMissing: The library that reads workbooks is not installed.
    """
    with path.open("rb") as file:
        if file.read(len(_OLD_WORKBOOK)) == _OLD_WORKBOOK:
            raise UnreadableWorkbookError(
                "a workbook of the kind before 2007 (.xls): save it as .xlsx and land it under a new name"
            )
    openpyxl = openpyxl_library()
    try:
        with path.open("rb") as file:
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            if form.sheet is not None and form.sheet not in book.sheetnames:
                raise UnreadableWorkbookError(f"the workbook has no sheet {form.sheet!r}; it has {', '.join(book.sheetnames)}")
            sheet = book[form.sheet] if form.sheet is not None else book.worksheets[0]
            # Some programs write a wrong size, by which the reader would leave cells out.
            sheet.reset_dimensions()
            yield from _rows(sheet, form)
    except UnreadableWorkbookError:
        raise
    except (
        zipfile.BadZipFile,
        OSError,
        KeyError,
        ValueError,
        IndexError,
        EOFError,
        SyntaxError,
        TypeError,
        AttributeError,
    ) as error:
        raise UnreadableWorkbookError(f"not a workbook that can be read: {error}") from error


def _rows(sheet: Any, form: Csv) -> Iterator[tuple[int, list[str | None]]]:
    width = 0
    for row, values in enumerate(sheet.iter_rows(values_only=True), start=1):
        cells = [_text(value, form) for value in values]
        while cells and cells[-1] is None:
            cells.pop()
        if cells:
            # Empty cells at a row's end are not in the file; empty cells at the header's end are not columns.
            width = width or len(cells)
            yield row, cells + [None] * (width - len(cells))


def _text(value: Any, form: Csv) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime):
        is_day = value.time() == dt.time()
        return value.date().isoformat() if is_day else value.isoformat(sep=" ")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, float):
        return f"{Decimal(repr(value)):f}".removesuffix(".0").replace(".", form.decimal)
    return str(value)
