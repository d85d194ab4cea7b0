"""Loading: what is imported and declared lives as long as the process, and need not be looked at again and again.

Belongs here: the pause of Python's collector of cycles while a process starts. Does not belong here: loading anything.

Hundreds of thousands of objects are made that all stay. Each time their number has grown by a quarter, the collector would look
at every one of them: a third of the time that loading takes.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collecting() -> Iterator[None]:
    """Pause the collector; what it would have found is found after."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def for_good() -> Iterator[None]:
    """Pause the collector, and spare it whatever is there at the end. For a process that starts, and for nothing else.

    Garbage that was made while loading stays, too: a few megabytes.
    """
    with without_collecting():
        yield
        gc.freeze()
