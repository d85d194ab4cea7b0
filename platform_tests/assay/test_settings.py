"""Settings from the environment."""

from __future__ import annotations

import pytest

from assay.errors import SettingsError
from assay.settings import read_settings


@pytest.mark.parametrize(
    ("name", "meant"),
    [("ASSAY_LAK", "ASSAY_LAKE"), ("ASSAY_THREDS", "ASSAY_THREADS"), ("assay_domian", "ASSAY_DOMAIN")],
)
def test_a_misspelt_name_is_refused_with_what_was_meant(monkeypatch: pytest.MonkeyPatch, name: str, meant: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError, match=rf"^{name.upper()} is not a setting\. Did you mean {meant}\?"):
        read_settings()


@pytest.mark.parametrize("name", ["ASSAY_ENDPOINT", "ASSAY_ACCESS_KEY", "ENDPOINT"])
def test_a_setting_has_the_names_that_are_documented_and_no_other(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = read_settings()
    monkeypatch.setenv(name, "http://elsewhere")
    assert read_settings() == before


@pytest.mark.parametrize("name", ["ASSAY_BENCH_DATA", "ASSAY_LOGS_BUCKET", "ASSAY_DSN__LEDGER", "assay_domain", "MY_ASSAY_LAK"])
def test_other_names_are_left_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "shop")
    assert read_settings()
