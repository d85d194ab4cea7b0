"""The dimensions of quality that rules belong to.

Belongs here: the vocabulary. Does not belong here: scoring by it (`quality.scores`).
"""

from enum import StrEnum


class Dimension(StrEnum):
    """What a rule says something about. Each rule has one."""

    COMPLETENESS = "completeness"
    """What must be there is there."""
    VALIDITY = "validity"
    """A value is one of those that it may be: its type, range, pattern, list."""
    UNIQUENESS = "uniqueness"
    """What must be there once is there once."""
    CONSISTENCY = "consistency"
    """Values agree with each other, with other tables, with controls and with what days like it had."""
    TIMELINESS = "timeliness"
    """It is there in time. Rules of it mostly warn: what is late is right for all that, and nobody would hold it back."""
