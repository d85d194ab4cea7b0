"""The proof: whatever lands, in whatever order and however often, the published tables are what the events say.

Each seed makes up a source and a change stream in it, lands it in two ways, and holds both results against the interpreter, row
by row and type by type, and against each other, hash by hash. Thousands of seeds, shared by all cores:
`pytest -m slow --dist load platform_tests/order_proof`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from court import Court, Wrong, open_court
from streams import DELETES, DUPLICATES, PLAIN, make_delivery, make_stream

SEEDS = 200
CHUNK = 20
ALONE_EVERY = 4
"""One of so many seeds has each partition computed by itself, which takes twice as long; of the thousands, all have."""
SLOW_SEEDS = 10_000
SLOW_CHUNK = 100
MEMORY_DISK = Path("/dev/shm")
"""Where there is one, lakes are made on it: a thousand of them are a lot of small files."""


@pytest.fixture(scope="module")
def court() -> Iterator[Court]:
    """One court for all cases."""
    where = MEMORY_DISK if os.access(MEMORY_DISK, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where) as folder, open_court(Path(folder)) as opened:
        yield opened


def try_seeds(court: Court, seeds: range, most_runs: int, alone_every: int = 1) -> None:
    """Try seeds to the end, and then say which failed, the first of them in full."""
    failed: dict[int, Wrong] = {}
    for seed in seeds:
        try:
            court.try_seed(seed, most_runs=most_runs, shrinks=not failed, alone=seed % alone_every == 0)
        except Wrong as wrong:
            failed[seed] = wrong
    if failed:
        raise Wrong(f"seeds {', '.join(map(str, failed))} of {seeds} fail.\n{next(iter(failed.values()))}")


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_any_order_and_repetition_gives_what_the_events_say(court: Court, first: int) -> None:
    try_seeds(court, range(first, first + CHUNK), most_runs=2, alone_every=ALONE_EVERY)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(SEEDS, SEEDS + SLOW_SEEDS, SLOW_CHUNK))
def test_of_thousands_of_streams_none_is_told_wrongly(court: Court, first: int) -> None:
    try_seeds(court, range(first, first + SLOW_CHUNK), most_runs=3)


def test_the_streams_have_in_them_what_they_should() -> None:
    """The proof is of no worth if the hard cases do not occur."""
    streams = [make_stream(seed) for seed in range(SEEDS)]
    told = [event for stream in streams for unit in stream.units for event in unit.events]
    changes = [event for event in told if event.op in "ud"]
    landed = [
        event.at
        for seed, stream in enumerate(streams)
        for run in make_delivery(stream, seed)
        for file in run
        for event in file.events
    ]
    share = sum(event.op == "d" for event in changes) / len(changes)
    assert DELETES < share < 2 * DELETES
    assert len(landed) > len(told) * (1 + DUPLICATES)
    assert sum(bool(event.unchanged) for event in told) > SEEDS / 4
    assert sum(bool(event.missing) for event in told) > SEEDS / 4
    assert sum(event.op == "t" for event in told) > SEEDS / 8
    assert sum(len(unit.events) > 1 for stream in streams for unit in stream.units) > SEEDS / 8
    assert sum(unit.tie is not None for stream in streams for unit in stream.units) > SEEDS / 8
    for stream in streams[:1]:
        assert stream == make_stream(0)


def test_a_wrong_row_is_found_and_told_shortly(court: Court, monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge who forgets deletes disagrees with the platform; few events are enough to show it."""
    import court as room

    class Forgetful(room.Interpreter):
        def states(self, events):
            return super().states([event for event in events if event.op != "d"])

    monkeypatch.setattr(room, "Interpreter", Forgetful)
    with pytest.raises(Wrong, match="delivery 1") as caught:
        for seed in range(SEEDS):
            court.try_seed(seed, PLAIN)
    shortest = str(caught.value)
    assert shortest.count("\n  d (") >= 1
    assert shortest.count("\n  c (") + shortest.count("\n  u (") + shortest.count("\n  r (") <= 4
