"""Delivery: the channel interface, and retries when a channel does not accept a message.

Belongs here: attempts, pauses between them, and the errors that decide whether to retry. Does not belong here: any
channel (`slack`, `pagerduty`, `mail`, `webhook`), remembering what was delivered (`telling`).

Errors reveal only the host of a channel: addresses and keys of channels are secrets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

from assay.alerts.incidents import Urgency
from assay.alerts.notice import Notice
from assay.errors import AssayError

RETRIES = 3
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
"""If a channel asks for a longer pause, the message is left to the next run."""
BUDGET_SECONDS = 180.0
"""No attempt begins after this time, because the run's right to tell the channel ends soon."""


class Undelivered(AssayError):
    """A channel did not accept a message, and retrying is useless."""


class NotNow(Undelivered):
    """A channel did not accept a message now, but may do so later.

    Args:
        message: What happened.
        after: Seconds that the channel asks to wait, if it does.
    """

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class Channel(Protocol):
    """A way to reach people or their systems."""

    @property
    def name(self) -> str:
        """Its name in the incident book."""
        ...

    @property
    def urgencies(self) -> Collection[Urgency]:
        """The urgencies of incidents that it receives."""
        ...

    def send(self, notice: Notice, attempts: Attempts) -> None:
        """Send a message. Receiving a message twice must have no further effect.

        Raises:
            Undelivered: It was not accepted.
        """
        ...


@dataclass
class Attempts:
    """The attempts of one delivery: one, and three retries with doubling pauses.

    Attributes:
        first_pause: Seconds before the second attempt.
        sleep: Waits; tests pass their own.
        clock: Gives seconds of a monotonic clock; tests pass their own.
    """

    first_pause: float = FIRST_PAUSE_SECONDS
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def make(self, attempt: Callable[[], None]) -> None:
        """Repeat an attempt until it succeeds, cannot succeed, or the attempts are used up.

        Raises:
            Undelivered: It did not succeed.
        """
        for retry in range(RETRIES + 1):
            try:
                return attempt()
            except NotNow as error:
                pause = max(self.first_pause * 2**retry, error.after or 0.0)
                is_last = retry == RETRIES or pause > LONGEST_PAUSE_SECONDS
                if is_last or self.clock() - self._began + pause > BUDGET_SECONDS:
                    raise
            self.sleep(pause)
        return None
