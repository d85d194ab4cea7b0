"""A run that neither data nor Assay's own errors explain says where and why it failed, and one that was stopped is no failure."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pytest

from assay.errors import AssayError
from assay.orchestration.in_process import run_refresh
from assay.pipeline.outcome import Unobserved
from assay.pipeline.session import session
from assay.settings import Settings


def refresh_that_raises(folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: Any) -> NoReturn:
        raise error

    monkeypatch.setattr("assay.orchestration.refresh.ingest_sources", fail)
    settings = Settings(lake=f"file://{folder}/lake", home=folder / "home", domain="shop", memory="500MB", threads=1)
    with session(settings) as workspace:
        run_refresh(settings, workspace, Unobserved())


def test_a_run_that_fails_unexpectedly_says_in_which_step_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssayError, match=r"Run \S+ failed in ingest: ValueError: no such thing\. The data published") as raised:
        refresh_that_raises(tmp_path, monkeypatch, ValueError("no such thing"))
    assert "assay up" in raised.value.hint


def test_a_run_that_is_stopped_by_hand_stops_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        refresh_that_raises(tmp_path, monkeypatch, KeyboardInterrupt())
