"""A landing format for tests that are about what events mean, not how they are written: the parsed record itself, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from unittest import mock

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.landing.files.landed_file import LandedFile
from assay.landing.files.lines import lines_relation
from assay.landing.readers import registry
from assay.landing.readers.parsed_record import Parsed, Wanted


@dataclass(frozen=True)
class Told:
    """Records that `tell` writes."""

    name: Literal["told"] = "told"


class ToldReader:
    """Reads them."""

    first_row = 1

    def parse(self, files: list[LandedFile], source: Source) -> Parsed:
        """Read whole files."""
        values = ", ".join(f"line ->> {literal(f'$.values.{spec.name}')} AS {quote(spec.name)}" for spec in source.columns)
        return Parsed(
            [
                f"SELECT _path, _n, line AS _record, NULL::VARCHAR AS _reason, line ->> '$.op' AS _op, "
                f"(line -> '$.sequence')::BIGINT[] AS _sequence, make_timestamptz((line ->> '$.at')::BIGINT * 1000000) "
                f"AS _source_timestamp, (line -> '$.missing')::VARCHAR[] AS _missing, (line -> '$.unchanged')::VARCHAR[] "
                f"AS _unchanged, NULL::VARCHAR AS _rescued, {values} "
                f"FROM (SELECT _path, _n, line::JSON AS line FROM ({lines_relation([file.path for file in files])}))"
            ]
        )

    def salvage(self, file: LandedFile, source: Source, scratch: Path) -> Parsed:
        """No test damages these."""
        raise AssertionError

    def recheck(self, wanted: Wanted, source: Source, scratch: Path) -> Parsed | None:
        """Nothing is to be read again."""
        return None


def tell(
    op: str,
    sequence: int | Sequence[int],
    missing: Sequence[str] = (),
    unchanged: Sequence[str] = (),
    at: int | None = None,
    **values: Any,
) -> str:
    """Write one record; its time is its position, if nothing else is said."""
    position = [sequence] if isinstance(sequence, int) else list(sequence)
    return json.dumps(
        {
            "op": op,
            "sequence": position,
            "at": 1_735_689_600 + (position[0] if at is None else at),
            "missing": list(missing) or None,
            "unchanged": list(unchanged) or None,
            "values": values,
        }
    )


@contextmanager
def readable() -> Iterator[None]:
    """Make the format known to ingestion."""
    with mock.patch.dict(registry._READERS, {Told: ToldReader()}):
        yield
