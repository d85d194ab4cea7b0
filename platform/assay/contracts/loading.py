"""Loading: what is declared lives as long as the process, and need not be looked at again and again while it is made.

Belongs here: the pause of Python's collector while declarations are loaded. Does not belong here: loading anything.

Hundreds of thousands of objects are made that all stay. Each time their number has grown by a quarter, the collector would look
at every one of them: a third of the time that loading takes.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collecting() -> Iterator[None]:
    """Pause the collector of cycles; what it would have found is found after."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
