"""Fixtures of the fault tests: the shop's landing files, and what an undisturbed run makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Shop, contents, new_shop, write_landing


@pytest.fixture(scope="session")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop's landing files."""
    folder = tmp_path_factory.mktemp("shop") / "landing"
    write_landing(folder)
    return folder


@pytest.fixture
def shop(tmp_path: Path, landing: Path) -> Shop:
    """A shop whose files have landed in a folder lake."""
    return new_shop(tmp_path, landing)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, landing: Path) -> dict[str, str]:
    """What an undisturbed run publishes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    shop = new_shop(folder, landing)
    report = shop.report()
    assert report["partitions"]["failed"] == 0
    return contents(folder / "lake")
