"""Recording batches from several threads, each unless something that others have recorded conflicts with it.

Belongs here: the one place where a source's batches go to its ledger. Does not belong here: the ledger (`lake.ledger`), making
batches (`ingest`, `quarantine.replay`), compactions, which add no events.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from assay.lake.ledger import Batch, Ledger, LedgerLog

Conflicts = Callable[[Ledger], bool]


@dataclass
class Recorder:
    """Records the batches of one source.

    Attributes:
        log: Its ledger.
    """

    log: LedgerLog
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def known(self) -> Ledger:
        """The ledger as of the last reading."""
        with self._lock:
            return self.log.known

    def record(self, batch: Batch, *conflicts: Conflicts) -> Batch | None:
        """Record a batch, unless others have taken some of its objects, or have recorded something that conflicts with it.

        Args:
            batch: The batch.
            *conflicts: Each checks the newest ledger for a conflict.

        Returns:
            The batch, or None if it was not recorded.
        """
        with self._lock:
            # Not read first: a conflict of the write shows whether there is anything new to read.
            known = self.log.known
            while not any(each.key in known.landed for each in batch.landed) and not any(says(known) for says in conflicts):
                if self.log.append(batch):
                    return batch
                known = self.log.read()
        return None
