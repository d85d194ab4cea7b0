"""Loading: imports and declarations live as long as the process, so the garbage collector need not scan them repeatedly.

Belongs here: pausing Python's cyclic garbage collector while a process starts. Does not belong here: loading anything.

Loading creates hundreds of thousands of permanent objects. Each time their number has grown by a quarter, the collector would
scan all of them: a third of the loading time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collecting() -> Iterator[None]:
    """Pause the collector; garbage is collected afterwards."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def for_good() -> Iterator[None]:
    """Pause the collector, and exempt all objects that exist at the end. Only for a process that is starting.

    Garbage created while loading stays, too: a few megabytes.
    """
    with without_collecting():
        yield
        gc.freeze()
