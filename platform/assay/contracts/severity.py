"""What happens to a row, or a partition, that breaks a rule.

Belongs here: the vocabulary. Does not belong here: acting on it (`quality`).
"""

from enum import StrEnum


class Severity(StrEnum):
    """What breaking a rule leads to."""

    FIX = "fix"
    """The value is replaced by null and counted; the row is published."""
    QUARANTINE = "quarantine"
    """The row goes to quarantine; the rest of the partition is published."""
    STOP = "stop"
    """The partition is not published; the old one stands."""
    WARN = "warn"
    """The violation is counted and reported; the row is published."""
