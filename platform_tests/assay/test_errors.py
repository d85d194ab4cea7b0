"""Errors read as sentences, whoever ended the first one."""

from __future__ import annotations

import pytest

from assay.errors import AssayError


@pytest.mark.parametrize(
    ("message", "hint", "said"),
    [
        ("It is wrong.", "Mend it.", "It is wrong. Mend it."),
        ("it is wrong", "mend it", "it is wrong; mend it"),
        ("DuckDB said no", "Run again.", "DuckDB said no. Run again."),
        ("It is wrong.", "", "It is wrong."),
        ("it is wrong", "", "it is wrong"),
        ("Is it wrong?", "ask", "Is it wrong? ask"),
    ],
)
def test_message_and_hint_are_told_apart(message: str, hint: str, said: str) -> None:
    assert str(AssayError(message, hint=hint)) == said
