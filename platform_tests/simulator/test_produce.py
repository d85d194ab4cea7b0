"""Which files there are, that they are the same every time, and that their offsets fit together."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import json
import time
from pathlib import Path

import pytest

from simulator import Company, LandingFile, produce

SMALL = Company(days=3, transactions_per_day=300, seed=3)
TOPICS = ["customers", "merchants", "transactions", "refunds", "chargebacks"]


def digests(files: list[LandingFile]) -> list[tuple[str, str, int, str]]:
    return [(file.source, file.name, file.records, hashlib.sha256(file.path.read_bytes()).hexdigest()) for file in files]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_same_company_writes_same_bytes(tmp_path: Path, threads: int) -> None:
    first = list(produce(SMALL, tmp_path / "first", threads=2))
    again = list(produce(SMALL, tmp_path / "again", threads=threads))
    assert digests(first) == digests(again)


def test_another_seed_writes_another_company(tmp_path: Path) -> None:
    other = Company(days=1, transactions_per_day=300, seed=4)
    first = list(produce(SMALL, tmp_path / "first", days=range(1)))
    second = list(produce(other, tmp_path / "second"))
    assert not {digest for *_, digest in digests(first)[3:]} & {digest for *_, digest in digests(second)[3:]}


def test_days_written_alone_are_the_same(tmp_path: Path) -> None:
    whole = list(produce(SMALL, tmp_path / "whole"))
    parts = [file for day in range(3) for file in produce(SMALL, tmp_path / str(day), days=range(day, day + 1))]
    assert digests(whole) == digests(parts)


@pytest.mark.parametrize("days", [range(-1, 2), range(4), range(0, 3, 2)])
def test_refuses_days_that_are_not_the_companys(tmp_path: Path, days: range) -> None:
    with pytest.raises(ValueError, match="must follow one another"):
        next(produce(SMALL, tmp_path, days=days))


@pytest.mark.parametrize("wrong", [{"days": 0}, {"transactions_per_day": 0}])
def test_refuses_an_empty_company(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Company(**wrong)


def test_smallest_company_writes(tmp_path: Path) -> None:
    assert list(produce(Company(days=1, transactions_per_day=1), tmp_path))


def test_sources_and_names(written) -> None:
    assert {file.source for file in written.files} == {
        "customers",
        "merchants",
        "transactions",
        "refunds",
        "chargebacks",
        "fx_rates",
        "merchant_categories",
        "customer_risk",
        "legacy_transactions",
    }
    assert [file.name for file in written.of("legacy_transactions")] == ["legacy-2024-12.csv"]
    assert [file.name for file in written.of("customer_risk")] == [f"risk-2025-01-0{day}.json" for day in range(1, 6)]
    # 1 January is a holiday, 4 and 5 January 2025 a weekend.
    assert [file.name for file in written.of("fx_rates")] == [
        "eurofxref-hist-2024-12-31.csv",
        "eurofxref-2025-01-02.csv",
        "eurofxref-2025-01-03.csv",
    ]


def test_records_are_counted(written) -> None:
    for file in written.files:
        header = file.path.suffix == ".csv"
        lines = len(file.path.read_text().splitlines()) if file.path.suffix != ".gz" else None
        if lines is not None:
            assert lines - header == file.records, file.name
    for table in TOPICS:
        assert sum(1 for _ in written.records(table)) == sum(file.records for file in written.of(table))


@pytest.mark.parametrize("table", TOPICS)
def test_offsets_are_contiguous_over_all_days(written, table: str) -> None:
    offsets: dict[int, list[int]] = {}
    for record in written.records(table):
        offsets.setdefault(record.partition, []).append(record.offset)
    assert sorted(offsets) == [0, 1, 2]
    for found in offsets.values():
        assert found == list(range(len(found)))


@pytest.mark.parametrize("table", TOPICS)
def test_names_are_those_of_the_sink(written, table: str) -> None:
    topic = f"payments.public.{table}"
    for file in written.of(table):
        folder, partition, name = file.name.rsplit("/", 2)
        assert folder == f"topics/{topic}"
        number = partition.removeprefix("partition=")
        assert name.startswith(f"{topic}+{number}+")
        assert len(name.removesuffix(".json.gz").rsplit("+", 1)[1]) == 10
        assert file.path.is_file()


def test_big_days_are_cut_into_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.topics.RECORDS_A_FILE", 100)
    files = [file for file in produce(SMALL, tmp_path, days=range(1)) if file.source == "transactions"]
    assert max(file.records for file in files) == 100
    assert len(files) > 3


def test_schemas_wrap_every_event(tmp_path: Path) -> None:
    company = Company(days=1, transactions_per_day=100, schemas=True)
    bare = Company(days=1, transactions_per_day=100)
    wrapped = list(produce(company, tmp_path / "wrapped"))
    plain = list(produce(bare, tmp_path / "bare"))
    seen = 0
    for one, other in zip(wrapped, plain, strict=True):
        if one.path.suffix != ".gz":
            continue
        for line, payload in zip(lines_of(one), lines_of(other), strict=True):
            if line.startswith('{"schema":') and line.endswith("}}"):
                assert json.loads(line)["payload"] == json.loads(payload)
                fields = {field["field"] for field in json.loads(line)["schema"]["fields"]}
                assert fields == set(json.loads(payload))
                seen += 1
    assert seen > 200


def lines_of(file: LandingFile) -> list[str]:
    return gzip.decompress(file.path.read_bytes()).decode().splitlines()


def test_first_day_may_be_any(tmp_path: Path) -> None:
    company = Company(days=2, transactions_per_day=50, start=dt.date(2024, 3, 31))
    names = {file.name for file in produce(company, tmp_path)}
    # Good Friday (29 March) and Easter Monday (1 April) have no rates.
    assert {"legacy-2024-02.csv", "eurofxref-hist-2024-03-28.csv", "risk-2024-03-31.json"} <= names
    assert not {"eurofxref-2024-04-01.csv", "eurofxref-2024-03-31.csv"} & names


@pytest.mark.slow
def test_speed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    company = Company(days=1, transactions_per_day=500_000)
    began, cpu = time.perf_counter(), time.process_time()
    records = size = 0
    for file in produce(company, tmp_path):
        records += file.records
        size += file.path.stat().st_size
        file.path.unlink()
    elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu
    with capsys.disabled():
        print(  # noqa: T201 - what the test is for
            f"\n{records:,} records, {size / 1e6:.0f} MB in {elapsed:.1f} s: "
            f"{records / elapsed:,.0f} a second, {records / cpu:,.0f} a processor-second"
        )
    assert records > company.transactions_per_day
