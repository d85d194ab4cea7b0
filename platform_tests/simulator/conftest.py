"""Fixtures of the simulator's tests: one small company, written once, and its records."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from simulator import Company, LandingFile, produce

COMPANY = Company(days=5, transactions_per_day=4_000, seed=7)


@dataclass(frozen=True)
class Record:
    """A line of a topic: where it was, its text, and the event it is, None if it is no JSON object with an `op`."""

    partition: int
    offset: int
    line: str
    event: dict[str, Any] | None


@dataclass(frozen=True)
class Written:
    """What a company wrote."""

    company: Company
    files: list[LandingFile]

    def of(self, source: str) -> list[LandingFile]:
        """The files of a source, in order of writing."""
        return [file for file in self.files if file.source == source]

    def records(self, table: str) -> Iterator[Record]:
        """The records of a topic, by partition and offset."""
        for file in sorted(self.of(table), key=lambda file: file.name):
            partition, offset = file.name.removesuffix(".json.gz").split("+")[1:]
            for number, line in enumerate(text_of(file.path).splitlines()):
                yield Record(int(partition), int(offset) + number, line, _event(line))

    def events(self, table: str) -> list[dict[str, Any]]:
        """The well-formed events of a topic."""
        return [record.event for record in self.records(table) if record.event is not None]


def text_of(path: Path) -> str:
    """The text of a file, gzipped or not."""
    return gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()


def _event(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and "op" in value else None


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The small company's files."""
    return Written(COMPANY, list(produce(COMPANY, tmp_path_factory.mktemp("company"))))
