"""A lake of what tills have taken, whose contracts can be strict or lenient: what one refuses the other lets through.

Nothing here reads. A source of Debezium events, a table of one row a sale, and a mart of one row a day.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from change_lines import change, text
from declared import domain_of
from shop_lake import ShopLake

from assay.contracts import Balance, Contract, Count, Daily, Date, Event, Money, Published, column, source, table
from assay.landing.formats import Debezium
from assay.landing.quarantine.replay import Replay
from assay.pipeline.replaying import Remembered, Result, replays_of
from assay.pipeline.runs import ingest_sources, refresh_table
from assay.pipeline.state import State

SOURCE, TABLE = "sales", "enriched.sales"
OWNER = {"owner": "team:tills", "subject": "tills"}
PAID = "try_cast(replace(amount::VARCHAR, ',', '.') AS DECIMAL(18, 2))"
SQL = {
    TABLE: f"""-- One row a sale.
SELECT id, {PAID} AS amount, till, day,
  _ingested_at AS ingestion_timestamp, _source AS data_source
FROM latest.sales""",
    "marts.takings": """-- One row a day.
SELECT day, count(*) AS sale_count, sum(amount)::DECIMAL(18, 2) AS amount,
  max(ingestion_timestamp) AS ingestion_timestamp, any_value(data_source) AS data_source
FROM enriched.sales GROUP BY day""",
}


def till_lake(folder: Path, *, reads_commas: bool = False, takes_negative: bool = False) -> ShopLake:
    """Make the lake; called again on a folder, the same lake with other contracts.

    Args:
        folder: Where it is.
        reads_commas: Whether the source takes amounts for text, so that one with a comma can be read.
        takes_negative: Whether the table takes amounts below zero.
    """
    amount: Any = str if reads_commas else Money
    sent = {"id": int, "day": Date, "amount": amount, "till": str}
    sales_sent: dict[str, Any] = {name: column(name, nullable=True) for name in sent}
    events = type("Sent", (Event,), {"__annotations__": sent, "__doc__": "What tills send.", **sales_sent})
    least = {} if takes_negative else {"ge": 0}
    columns = {"id": int, "amount": Money, "till": str, "day": Date}
    rows: dict[str, Any] = {
        "id": column("Key"),
        "amount": column("Amount", **least),
        "till": column("Till", str_length={"max_value": 4}),
        "day": column("Day"),
    }
    sales = type("Sales", (Published,), {"__annotations__": columns, "__doc__": "One row a sale.", **rows})
    day = Daily("day_of", of="day", moves="told")
    contracts: list[type[Contract]] = [
        source(SOURCE, format=Debezium(SOURCE), key=("id",), partition=day, money=PAID, **OWNER)(events),
        table("sales", layer="enriched", key=("id",), partition=Daily("day"), money="amount", **OWNER)(sales),
        takings(),
    ]
    return ShopLake(folder, domain_of(folder / "sql", contracts, SQL))


def takings() -> type[Contract]:
    """Declare the mart."""
    balance = Balance(inputs=(TABLE,), rows="sale_count", money_out="amount")

    @table("takings", layer="marts", key=("day",), partition=Daily("day"), balance=balance, **OWNER)
    class Takings(Published):
        """One row a day."""

        day: Date = column("Day")
        sale_count: Count = column("Sales")
        amount: Money = column("Amount")

    return Takings


def sale(
    id: int, position: int | None = None, *, op: str = "c", day: str = "2025-01-03", amount: str = "1.00", till: str = "A1"
) -> str:
    """Write one event of a till."""
    at = id if position is None else position
    return change(SOURCE, op, at, {"id": id, "day": day, "amount": amount, "till": till})


def land_days(lake: ShopLake, last: dt.date, *, days: int = 50, each: int = 40, on_last: int = 8) -> None:
    """Land a file of sales for each of some days, an hour after its end.

    Args:
        lake: The lake.
        last: The last day.
        days: How many; enough to know what is usual.
        each: Sales on each.
        on_last: Sales on the last one.
    """
    for number in range(days):
        day = last - dt.timedelta(days=days - 1 - number)
        lines = [sale(number * 1000 + n, day=day.isoformat()) for n in range(1, 1 + (on_last if day == last else each))]
        at = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(1), dt.UTC)
        lake.land(SOURCE, f"{day}.json", text(*lines), at)


def last_complete_day(now: dt.datetime) -> dt.date:
    """The last day that is complete when each day's sales land an hour after its end, and have six hours more."""
    return (now - dt.timedelta(hours=7)).date() - dt.timedelta(days=1)


def replayed(lake: ShopLake, *names: str, replaying: bool = True) -> list[Result]:
    """Replay the quarantine of tables and sources, all if none is named, as `assay quarantine replay` does, without Dagster.

    Args:
        lake: The lake.
        *names: Tables and sources.
        replaying: Whether records that could not be read are read again.
    """
    domain = lake.workspace.domain
    asked = [domain.find(name) for name in names] or [*domain.sources.values(), *domain.tables.values()]
    with lake.connection() as connection:
        state = State(lake.workspace)
        remembered = Remembered(connection, state, asked)
        run_all(lake, replaying=replays_of(state, asked) if replaying else {})
        return remembered.results(State(lake.workspace))


def run_all(lake: ShopLake, replaying: dict[str, Replay] | None = None) -> None:
    """Ingest every source, replaying some, and build every table."""
    with lake.connection() as connection:
        state = State(lake.workspace)
        list(ingest_sources(connection, state, lake.workspace.domain.sources.values(), replaying=replaying))
        for node in lake.workspace.project.nodes.values():
            refresh_table(connection, state, node, "run")
