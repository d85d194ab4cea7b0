"""Monitoring rules: what is looked for in the tables, and with which parameters.

Belongs here: the declarations of rules and their parameters, and parsing a parameter from text. Does not belong here: any
specific rule; the SQL that finds its alerts (a table's SELECT, like any other); running it with other values
(`pipeline.backtest`).

A rule's values are given twice: here with their meaning, and in its SQL as the CTE `parameters`, so that the SQL can be run by
hand and its version covers them. Loading the domain fails if the two differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Literal

from assay.errors import ContractError, SettingsError

Value = int | Decimal | tuple[str, ...]
"""A parameter's value: a whole number, an exact number, or a list of texts."""
WINDOW = "window_days"
"""The parameter that every rule has."""
MEASURED = "measured"
"""The column that every alert table has: what was measured, in the rule's unit."""
MOST_DAYS = 36_525
"""The longest window: no data reach further back, and the days before it must be dates."""
MOST_WHOLE = 2**31 - 1
"""The highest whole number, which is an INTEGER in SQL."""
MOST_EXACT = 10**12
"""The highest exact number; with few decimals, products of two of them are exact in SQL, too."""
MOST_DECIMALS = 6
_SEVERITIES = ("high", "low", "medium")


@dataclass(frozen=True)
class Parameter:
    """A number, or list of texts, that controls what a rule finds.

    Attributes:
        name: Its name in the rule's SQL.
        meaning: What it controls.
        default: Its value; a replacement must be of the same type.
        unit: Its unit, as in `USD` or `hours`.
        least: The lowest number that makes sense.
        most: The highest one; None for the highest that its SQL can compute with.
        is_reach: Whether it is the number of hours that the rule looks back before each row of an alert. The window must
            cover them: otherwise the alerts would depend on which days are computed together.
    """

    name: str
    meaning: str
    default: Value
    unit: str | None = None
    least: int = 0
    most: int | None = None
    is_reach: bool = False

    @property
    def highest(self) -> int:
        """The highest number that it may be."""
        if self.most is not None:
            return self.most
        if self.is_reach:
            return 24 * (MOST_DAYS - 1)
        return MOST_WHOLE if isinstance(self.default, int) else MOST_EXACT

    @property
    def range(self) -> str:
        """What it may be, in words."""
        decimals = "" if isinstance(self.default, int) else f", with at most {MOST_DECIMALS} decimals"
        return f"from {self.least} to {self.highest}{decimals}"

    def has_in_range(self, value: Value) -> bool:
        """Whether a value is in its range; a list always is."""
        if isinstance(value, tuple):
            return True
        if not self.least <= value <= self.highest:
            return False
        return isinstance(value, int) or len(f"{value:f}".partition(".")[2]) <= MOST_DECIMALS

    def read(self, text: str) -> Value:
        """Parse a value from text; a list is separated by commas.

        Raises:
            SettingsError: The text is not such a value, or not in its range.
        """
        if isinstance(self.default, tuple):
            return tuple(sorted({part.strip() for part in text.split(",") if part.strip()}))
        try:
            value = int(text) if isinstance(self.default, int) else Decimal(text)
        except (ValueError, InvalidOperation) as error:
            raise self._unreadable(text) from error
        if isinstance(value, Decimal) and not value.is_finite():
            raise self._unreadable(text)
        if not self.has_in_range(value):
            raise SettingsError(
                f"{self.name}={text} is out of range.", hint=f"It may be {self.range}; its default is {self.default}."
            )
        return value

    def _unreadable(self, text: str) -> SettingsError:
        kind = "whole number" if isinstance(self.default, int) else "number"
        return SettingsError(
            f"{self.name}={text} is not a {kind} of {self.unit or 'anything'}.", hint=f"Its default is {self.default}."
        )


@dataclass(frozen=True)
class MonitoringRule:
    """What is looked for, why, and with which parameters.

    Attributes:
        name: The rule's name.
        title: Its name for people.
        finds: What an alert means.
        why: Why it is looked for.
        guidance: The law or guidance behind the rule.
        table: The full name of its alert table.
        reads: The full name of the table whose history it reads.
        window_days: Days that count for an alert: its own and those before it.
        measures: Unit of what an alert has measured.
        severity: How soon somebody must look: high, medium or low.
        owner: Who must look, as in `team:compliance`.
        own_parameters: Its parameters except the window.

    Raises:
        ContractError: A field is missing or invalid; the message names rule and field.
    """

    name: str
    title: str
    finds: str
    why: str
    guidance: str
    table: str
    reads: str
    window_days: int
    measures: str
    severity: Literal["high", "medium", "low"]
    owner: str
    own_parameters: tuple[Parameter, ...]

    def __post_init__(self) -> None:
        for field in ("name", "title", "finds", "why", "guidance", "table", "reads", "measures", "owner"):
            if not str(getattr(self, field)).strip():
                raise self._wrong(field, "is empty", "fill it in")
        if self.severity not in _SEVERITIES:
            raise self._wrong("severity", f"is {self.severity}", f"give one of {', '.join(_SEVERITIES)}")
        names = [parameter.name for parameter in self.parameters]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise self._wrong("own_parameters", f"has {', '.join(twice)} twice", "rename one of them")
        for parameter in self.parameters:
            if not parameter.has_in_range(parameter.default):
                raise self._wrong(parameter.name, f"is {parameter.default}", f"give one {parameter.range}")
        if too_short := self._too_short(self.defaults):
            raise self._wrong("window_days", *too_short)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """All its parameters, the window last."""
        meaning = "Days that count: the alert's own and those before it"
        window = Parameter(WINDOW, meaning, self.window_days, "days", least=1, most=MOST_DAYS)
        return (*self.own_parameters, window)

    @property
    def defaults(self) -> dict[str, Value]:
        """Its default values by parameter name."""
        return {parameter.name: parameter.default for parameter in self.parameters}

    def read(self, given: Mapping[str, str]) -> dict[str, Value]:
        """All its values: those given as text, and the defaults for the rest.

        Raises:
            SettingsError: There is no such parameter, the text is not a valid value for it or out of its range, or the window is
                shorter than the rule looks back.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        unknown = [name for name in given if name not in known]
        if unknown:
            raise SettingsError(f"The rule {self.name} has no {unknown[0]}.", hint=f"It has {', '.join(known)}.")
        values = self.defaults | {name: known[name].read(text) for name, text in given.items()}
        if too_short := self._too_short(values):
            said, hint = too_short
            raise SettingsError(f"{WINDOW} {said}.", hint=f"{hint[0].upper()}{hint[1:]}.")
        return values

    def _too_short(self, values: Mapping[str, Value]) -> tuple[str, str] | None:
        """The error and its hint, if the window is shorter than the rule looks back."""
        window = values[WINDOW]
        assert isinstance(window, int)
        for parameter in self.own_parameters:
            hours = values[parameter.name]
            if parameter.is_reach and not isinstance(hours, tuple) and hours > 24 * (window - 1):
                needed = math.ceil(hours / 24) + 1
                said = f"is {window}, but {parameter.name}={hours} looks {hours} hours back from any time of the alert's own day"
                return said, f"give {WINDOW}={needed} or more, or fewer {parameter.name}"
        return None

    def _wrong(self, field: str, said: str, hint: str) -> ContractError:
        return ContractError(f"the monitoring rule {self.name}: {field} {said}", hint=hint)
