"""The record of partitions whose last proof failed, one object per table, changed by compare-and-swap.

Belongs here: reading and changing it. Does not belong here: finding failures (`build`), which of them still matter (`plan`).

Runs of the same table may overlap: each records its findings, and failures resolved by another run stay resolved.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from assay.contracts import Table
from assay.errors import Conflict, ObjectMissing, StoreError
from assay.lake.layout import failures_key
from assay.lake.store import ObjectStore

ATTEMPTS = 30
"""How often a change is retried when others keep changing the record first."""
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Failure:
    """A partition that failed its proof, and why.

    Attributes:
        made_from: Hash of code and inputs: the failure lasts as long as it is the same.
        problems: Why it failed, in words that hold no value of any row: they leave the house.
        run_id: The run that found it.
        below_threshold: Whether its quality score was below the table's threshold, among other problems.
        sentence: What DuckDB said where the SQL failed on the data. It may hold values, and is for logs and the command line.
    """

    made_from: str
    problems: tuple[str, ...]
    run_id: str
    below_threshold: bool = False
    sentence: str = ""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it failed, in all that is known, values included."""
        return (*self.problems, self.sentence) if self.sentence else self.problems


Failures = dict[str, Failure]
"""By partition."""


def read_failures(store: ObjectStore, table: Table) -> Failures:
    """Read which partitions of a table failed their last proof."""
    try:
        return _failures(store.get(failures_key(table)))
    except ObjectMissing:
        return {}


def write_failures(store: ObjectStore, table: Table, failed: Mapping[str, Failure], mended: Collection[str]) -> None:
    """Record failed partitions, and forget those that now pass.

    Raises:
        StoreError: The lake cannot be read or written, or others keep changing the record first.
    """

    def change(before: Failures) -> Failures:
        return {partition: each for partition, each in before.items() if partition not in mended} | dict(failed)

    _change(store, table, change)


def forget_failures(store: ObjectStore, table: Table, settled: Mapping[str, Failure]) -> None:
    """Forget failures that no longer matter, except those found in the meantime.

    Raises:
        StoreError: The lake cannot be read or written, or others keep changing the record first.
    """
    _change(store, table, lambda before: {name: each for name, each in before.items() if settled.get(name) != each})


def _change(store: ObjectStore, table: Table, change: Callable[[Failures], Failures]) -> None:
    key = failures_key(table)
    for attempt in range(ATTEMPTS):
        etag, before = _read_version(store, key)
        after = change(before)
        if after == before:
            return
        body = {partition: asdict(failure) for partition, failure in sorted(after.items())}
        try:
            store.put(key, json.dumps(body).encode(), if_match=etag, if_absent=etag is None)
        except Conflict:
            time.sleep(random.uniform(0, _PAUSE_SECONDS * (attempt + 1)))
        else:
            return
    raise StoreError(f"{key} cannot be changed: others keep changing it first.", hint="Run again.")


def _read_version(store: ObjectStore, key: str) -> tuple[str | None, Failures]:
    try:
        # Usually there is no record. The version first: if the content is newer, the write fails and is retried.
        etag = store.head(key).etag
        return etag, _failures(store.get(key))
    except ObjectMissing:
        return None, {}


def _failures(body: bytes) -> Failures:
    return {partition: _failure(each) for partition, each in json.loads(body).items()}


def _failure(written: Mapping[str, Any]) -> Failure:
    return Failure(**(dict(written) | {"problems": tuple(written["problems"])}))
