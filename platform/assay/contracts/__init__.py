"""What a table is: typed columns, rules, key, partition, owner.

Belongs here: the Pandera models' base class, the table and source declarations that decorate them, and what is derived
from them without touching data (SQL types, rules as SQL predicates, versions). Does not belong here: reading, writing,
running SQL, anything of one business domain.
"""

from assay.contracts.cadence import LATER, Cadence
from assay.contracts.calendar import Holidays
from assay.contracts.control import Control, ControlFile, MySqlQuery, PostgresQuery
from assay.contracts.dimension import Dimension
from assay.contracts.domain import Domain, load_domain
from assay.contracts.expectations import ControlTotal, Refers, UniqueAcross
from assay.contracts.generated import ColumnOrigin, Generated
from assay.contracts.measured import Drift, Mean, MeanShift, NullShare, Quantile, RowCount, Share, Volume
from assay.contracts.model import Contract, Event, Published, column
from assay.contracts.monitoring import MonitoringRule, Parameter
from assay.contracts.periods import WHOLE, Grain, Window
from assay.contracts.severity import Severity
from assay.contracts.source import Elements, Format, Source, source
from assay.contracts.table import Balance, Daily, Monthly, Partitioning, Table, Weekly, Whole, Yearly, table
from assay.contracts.types import Count, Date, Decimal, Money, Number, Position, Rate, Timestamp
from assay.contracts.watch import Watch

__all__ = [
    "LATER",
    "WHOLE",
    "Balance",
    "Cadence",
    "ColumnOrigin",
    "Contract",
    "Control",
    "ControlFile",
    "ControlTotal",
    "Count",
    "Daily",
    "Date",
    "Decimal",
    "Dimension",
    "Domain",
    "Drift",
    "Elements",
    "Event",
    "Format",
    "Generated",
    "Grain",
    "Holidays",
    "Mean",
    "MeanShift",
    "Money",
    "MonitoringRule",
    "Monthly",
    "MySqlQuery",
    "NullShare",
    "Number",
    "Parameter",
    "Partitioning",
    "Position",
    "PostgresQuery",
    "Published",
    "Quantile",
    "Rate",
    "Refers",
    "RowCount",
    "Severity",
    "Share",
    "Source",
    "Table",
    "Timestamp",
    "UniqueAcross",
    "Volume",
    "Watch",
    "Weekly",
    "Whole",
    "Window",
    "Yearly",
    "column",
    "load_domain",
    "source",
    "table",
]
