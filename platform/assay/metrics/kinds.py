"""The types of metrics, one frozen dataclass each.

Belongs here: the fields of each type, its additivity, and its formula in words. Does not belong here: validation
(`resolving`), SQL (`expressions`, `trends`).

`of` and `to` name other metrics in types computed from metrics, and are DuckDB expressions over a row of the fact in types
computed from rows; `where` is always such an expression.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from decimal import Decimal
from typing import ClassVar, Literal

from assay.metrics.additivity import Additivity
from assay.metrics.declarations import Declared
from assay.metrics.grains import Grain


@dataclass(frozen=True)
class Metric(Declared, ABC):
    """Base of all metrics: what each of them declares.

    Attributes:
        name: Its column, as in `refund_rate`.
        title: Its heading.
        meaning: What it means, in words a merchant understands.
        owner: The team responsible; the group's by default.
        tags: Tags in addition to the group's.
        by: The entity by which it is shown by default.
        entities: The entities for which it is computed; the group's by default.
        fact: The fact whose rows it counts; the group's by default.
        calendar: The calendar whose days it is reported by; the group's where it does not say.
    """

    additivity: ClassVar[Additivity]
    grains: ClassVar[tuple[Grain, ...]] = tuple(Grain)
    name: str
    title: str
    meaning: str
    owner: str | None = field(default=None, kw_only=True)
    tags: tuple[str, ...] = field(default=(), kw_only=True)
    by: str | None = field(default=None, kw_only=True)
    entities: tuple[str, ...] = field(default=(), kw_only=True)
    fact: str | None = field(default=None, kw_only=True)
    calendar: str | None = field(default=None, kw_only=True)

    @property
    def type(self) -> str:
        """The name of its type."""
        return type(self).__name__

    @property
    @abstractmethod
    def formula(self) -> str:
        """How it is computed, in one line."""

    @property
    def refers(self) -> dict[str, str]:
        """Names of other metrics, by the field that contains them."""
        return {}


def _only(where: str) -> str:
    return f" where {where}" if where else ""


# --- From the rows of a fact -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Count(Metric):
    """Rows.

    Attributes:
        where: Condition on rows; all when empty.
    """

    additivity: ClassVar[Additivity] = Additivity.ADDITIVE
    where: str = ""

    @property
    def formula(self) -> str:
        """See the base class."""
        return f"number of rows{_only(self.where)}"


@dataclass(frozen=True, kw_only=True)
class Measured(Metric):
    """Base of metrics computed from one expression over rows.

    Attributes:
        of: The expression.
        where: Condition on rows; all when empty.
        unit: Its unit, unless it is money: money has its own.
    """

    of: str
    where: str = ""
    unit: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sum(Measured):
    """The total of an expression; zero if there are no rows."""

    additivity: ClassVar[Additivity] = Additivity.ADDITIVE

    @property
    def formula(self) -> str:
        """See the base class."""
        return f"sum of {self.of}{_only(self.where)}"


@dataclass(frozen=True, kw_only=True)
class Minimum(Measured):
    """The least value."""

    additivity: ClassVar[Additivity] = Additivity.MERGEABLE

    @property
    def formula(self) -> str:
        """See the base class."""
        return f"least {self.of}{_only(self.where)}"


@dataclass(frozen=True, kw_only=True)
class Maximum(Measured):
    """The greatest value."""

    additivity: ClassVar[Additivity] = Additivity.MERGEABLE

    @property
    def formula(self) -> str:
        """See the base class."""
        return f"greatest {self.of}{_only(self.where)}"


@dataclass(frozen=True, kw_only=True)
class Average(Measured):
    """The mean of an expression over the rows where it is not null, to ten-thousandths, half away from zero."""

    additivity: ClassVar[Additivity] = Additivity.RECOMPUTED

    @property
    def formula(self) -> str:
        """See the base class."""
        return f"sum of {self.of} / number of rows that have it{_only(self.where)}"


@dataclass(frozen=True, kw_only=True)
class CountDistinct(Measured):
    """The number of different values, not counting null."""

    additivity: ClassVar[Additivity] = Additivity.SETS
    unit: str

    @property
    def formula(self) -> str:
        """See the base class."""
        return f"different values of {self.of}{_only(self.where)}"


@dataclass(frozen=True, kw_only=True)
class Quantile(Measured):
    """The least value not exceeded by at least a share `q` of the rows: always an actual value, never interpolated.

    Attributes:
        q: The share, as text so that it is exact: `0.5` for the median.
    """

    additivity: ClassVar[Additivity] = Additivity.SETS
    q: str

    @property
    def formula(self) -> str:
        """See the base class."""
        return f"least {self.of} that {Decimal(self.q) * 100:g} % of rows do not exceed{_only(self.where)}"


@dataclass(frozen=True, kw_only=True)
class Conversion(Metric):
    """The share of rows at one stage that reached a later one.

    Attributes:
        where: The rows at the earlier stage.
        reached: Condition on those that reached the later one.
    """

    additivity: ClassVar[Additivity] = Additivity.RECOMPUTED
    where: str
    reached: str

    @property
    def formula(self) -> str:
        """See the base class."""
        return f"number of rows where {self.where} and {self.reached} / number of rows where {self.where}"


# --- From other metrics of the same row ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Ratio(Metric):
    """One metric divided by another, computed again at every grain; null where the divisor is zero.

    Attributes:
        of: The dividend, a metric.
        to: The divisor, a metric that is never negative.
    """

    additivity: ClassVar[Additivity] = Additivity.RECOMPUTED
    of: str
    to: str

    @property
    def formula(self) -> str:
        """See the base class."""
        return f"{self.of} / {self.to}"

    @property
    def refers(self) -> dict[str, str]:
        """See the base class."""
        return {"of": self.of, "to": self.to}


@dataclass(frozen=True, kw_only=True)
class Derived(Metric):
    """Metrics that are added, subtracted, or multiplied by whole numbers.

    Attributes:
        formula_of: As in `fees_usd - 2 * costs_usd`: names, whole numbers, `+`, `-`, `*` and parentheses. To divide, use `Ratio`.
    """

    additivity: ClassVar[Additivity] = Additivity.RECOMPUTED
    formula_of: str

    @property
    def formula(self) -> str:
        """See the base class."""
        return self.formula_of


@dataclass(frozen=True, kw_only=True)
class Share(Metric):
    """The share of the total over all members of the entity in the same period; null where the total is not positive.

    Attributes:
        of: An additive metric.
        within: An attribute of the entity: the total covers the members with the same value.
    """

    additivity: ClassVar[Additivity] = Additivity.RECOMPUTED
    of: str
    within: str | None = None

    @property
    def formula(self) -> str:
        """See the base class."""
        return f"{self.of} / its total{f' within {self.within}' if self.within else ''}"

    @property
    def refers(self) -> dict[str, str]:
        """See the base class."""
        return {"of": self.of}


@dataclass(frozen=True, kw_only=True)
class Rank(Metric):
    """The rank among all members of the entity in the same period, from 1 for the greatest; equal values share a rank.

    Attributes:
        of: The metric compared; members without a value have no rank.
        within: An attribute of the entity: members with the same value are compared.
    """

    additivity: ClassVar[Additivity] = Additivity.WINDOWED
    of: str
    within: str | None = None

    @property
    def formula(self) -> str:
        """See the base class."""
        return f"rank by {self.of}{f' within {self.within}' if self.within else ''}"

    @property
    def refers(self) -> dict[str, str]:
        """See the base class."""
        return {"of": self.of}


# --- From other periods ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Moving(Metric):
    """A metric over the last days, this one included.

    Attributes:
        of: An additive metric, or a ratio or average, which is computed again over the window.
        days: The number of days.
        daily: Whether the total is divided by the number of days.
    """

    additivity: ClassVar[Additivity] = Additivity.WINDOWED
    grains: ClassVar[tuple[Grain, ...]] = (Grain.DAY,)
    of: str
    days: int
    daily: bool = False

    @property
    def formula(self) -> str:
        """See the base class."""
        return f"{self.of} over {self.days} days{f' / {self.days}' if self.daily else ''}"

    @property
    def refers(self) -> dict[str, str]:
        """See the base class."""
        return {"of": self.of}


@dataclass(frozen=True, kw_only=True)
class Cumulative(Metric):
    """A metric from the beginning of the month or year to the end of the period.

    Attributes:
        of: An additive metric, or a ratio or average, which is computed again.
        since: `month`: at day grain. `year`: at month grain.
    """

    additivity: ClassVar[Additivity] = Additivity.WINDOWED
    of: str
    since: Literal["month", "year"]

    @property
    def formula(self) -> str:
        """See the base class."""
        return f"{self.of} since the beginning of the {self.since}"

    @property
    def refers(self) -> dict[str, str]:
        """See the base class."""
        return {"of": self.of}


@dataclass(frozen=True, kw_only=True)
class Growth(Metric):
    """The change since an earlier period as a share of the earlier value; null where that was not above zero.

    Attributes:
        of: The metric that is compared.
        over: The distance: `day` (day marts), `week` (days: the same weekday; weeks), `month`, `year` (weeks: 52 of them;
            months; years).
    """

    additivity: ClassVar[Additivity] = Additivity.WINDOWED
    of: str
    over: Literal["day", "week", "month", "year"]

    @property
    def formula(self) -> str:
        """See the base class."""
        return f"({self.of} - {self.of} a {self.over} before) / {self.of} a {self.over} before"

    @property
    def refers(self) -> dict[str, str]:
        """See the base class."""
        return {"of": self.of}


@dataclass(frozen=True, kw_only=True)
class Followed(Metric):
    """Base of metrics that compare who was counted in one month with who was counted in others.

    Attributes:
        of: A distinct count.
        months: The number of months to look back.
    """

    additivity: ClassVar[Additivity] = Additivity.WINDOWED
    grains: ClassVar[tuple[Grain, ...]] = (Grain.MONTH,)
    of: str
    months: int = 1

    @property
    def back(self) -> str:
        """How far it looks back, in words."""
        return "1 month" if self.months == 1 else f"{self.months} months"

    @property
    def refers(self) -> dict[str, str]:
        """See the base class."""
        return {"of": self.of}


@dataclass(frozen=True, kw_only=True)
class Retained(Followed):
    """Members counted some months ago that are counted again."""

    @property
    def formula(self) -> str:
        """See the base class."""
        return f"{self.of} of those counted {self.back} before"


@dataclass(frozen=True, kw_only=True)
class Retention(Followed):
    """The share of the members counted some months ago that are counted again: the cohort of that month."""

    @property
    def formula(self) -> str:
        """See the base class."""
        return f"{self.of} of those counted {self.back} before / {self.of} {self.back} before"


@dataclass(frozen=True, kw_only=True)
class Arrived(Followed):
    """Those counted this month who were counted in none of the months before."""

    @property
    def formula(self) -> str:
        """See the base class."""
        return f"{self.of} in none of the {self.back} before"


@dataclass(frozen=True, kw_only=True)
class Lost(Followed):
    """Members last counted some months ago, and in no month since."""

    @property
    def formula(self) -> str:
        """See the base class."""
        return f"{self.of} {self.back} before, and in no month since"
