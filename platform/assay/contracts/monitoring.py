"""Monitoring rules: what is looked for in the tables, and with which numbers.

Belongs here: the declarations of rules and their parameters, and reading a parameter from text. Does not belong here: any rule;
the SQL that finds what a rule is about (one SELECT of a table, like any other); running it with other numbers
(`pipeline.backtest`).

A rule's numbers stand twice: here with what they mean, and in its SQL as the CTE `parameters`, so that the SQL runs by hand and
its version is that of the numbers, too. Loading the domain fails if the two differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Literal

from assay.errors import ContractError, SettingsError

Value = int | Decimal | tuple[str, ...]
"""Of a parameter: a whole number, an exact one, or texts."""
WINDOW = "window_days"
"""The parameter that every rule has."""
MEASURED = "measured"
"""The column that every table of alerts has: what was measured, in the rule's unit."""
_SEVERITIES = ("high", "low", "medium")


@dataclass(frozen=True)
class Parameter:
    """A number, or list of texts, that decides what a rule finds.

    Attributes:
        name: Its name in the rule's SQL.
        meaning: What it decides.
        default: Its value; one given instead is of the same type.
        unit: As in `USD` or `hours`.
    """

    name: str
    meaning: str
    default: Value
    unit: str | None = None

    def read(self, text: str) -> Value:
        """Read a value from text; texts are separated by commas.

        Raises:
            SettingsError: It is none, or is negative.
        """
        if isinstance(self.default, tuple):
            return tuple(sorted({part.strip() for part in text.split(",") if part.strip()}))
        try:
            value = int(text) if isinstance(self.default, int) else Decimal(text)
        except (ValueError, InvalidOperation) as error:
            raise self._unreadable(text) from error
        if (isinstance(value, Decimal) and not value.is_finite()) or value < 0:
            raise self._unreadable(text)
        return value

    def _unreadable(self, text: str) -> SettingsError:
        kind = "whole number" if isinstance(self.default, int) else "number"
        return SettingsError(
            f"{self.name}={text} is no {kind} of {self.unit or 'anything'}.", hint=f"Its default is {self.default}."
        )


@dataclass(frozen=True)
class MonitoringRule:
    """What is looked for, why, and with which numbers.

    Attributes:
        name: The rule's name.
        title: The same for people.
        finds: What an alert of it says.
        why: Why that is looked for.
        guidance: The law or guidance that it comes from.
        table: The table of its alerts, by full name.
        reads: The table that it looks back on, by full name.
        window_days: Days that count for an alert: its own and those before it.
        measures: Unit of what an alert has measured.
        severity: How soon somebody must look: high, medium or low.
        owner: Who does, as in `team:compliance`.
        own_parameters: Its numbers, but for the window.

    Raises:
        ContractError: Something is missing or cannot be; the message names rule and field.
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
                raise self._wrong(field, "is empty", "say it")
        if self.severity not in _SEVERITIES:
            raise self._wrong("severity", f"is {self.severity}", f"give one of {', '.join(_SEVERITIES)}")
        if self.window_days < 1:
            raise self._wrong("window_days", f"is {self.window_days}", "a window has at least the alert's own day")
        names = [parameter.name for parameter in self.parameters]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise self._wrong("own_parameters", f"has {', '.join(twice)} twice", "rename one of them")

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """All its numbers, the window last."""
        window = Parameter(WINDOW, "Days that count: the alert's own and those before it", self.window_days, "days")
        return (*self.own_parameters, window)

    @property
    def defaults(self) -> dict[str, Value]:
        """Its numbers by name."""
        return {parameter.name: parameter.default for parameter in self.parameters}

    def read(self, given: Mapping[str, str]) -> dict[str, Value]:
        """All its numbers, those given as text in the place of the defaults.

        Raises:
            SettingsError: There is no such parameter, or the text is no value of it.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        unknown = [name for name in given if name not in known]
        if unknown:
            raise SettingsError(f"The rule {self.name} has no {unknown[0]}.", hint=f"It has {', '.join(known)}.")
        values = self.defaults | {name: known[name].read(text) for name, text in given.items()}
        window = values[WINDOW]
        if not isinstance(window, int) or window < 1:
            raise SettingsError(f"A window of {window} days is none.", hint="Give at least 1.")
        return values

    def _wrong(self, field: str, said: str, hint: str) -> ContractError:
        return ContractError(f"the monitoring rule {self.name}: {field} {said}", hint=hint)
