"""The dimensions of quality that rules belong to.

Belongs here: the vocabulary. Does not belong here: scores by dimension (`quality.scores`).
"""

from enum import StrEnum


class Dimension(StrEnum):
    """The aspect of quality that a rule checks. Each rule has one."""

    COMPLETENESS = "completeness"
    """Required values and rows are present."""
    VALIDITY = "validity"
    """A value is one of those allowed: its type, range, pattern, list."""
    UNIQUENESS = "uniqueness"
    """What must occur once occurs once."""
    CONSISTENCY = "consistency"
    """Values agree with each other, with other tables, with controls and with comparable days."""
    TIMELINESS = "timeliness"
    """Data is there in time. Most of these rules only warn: late data is still correct, and holding it back helps nobody."""
