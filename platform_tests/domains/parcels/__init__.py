"""Parcels, whose deletes are forgotten after a year: the domain that the tests of forgetting run commands on.

Belongs here: one source and one table. Does not belong here: what the shop shows.
"""

from datetime import date, timedelta
from pathlib import Path

from assay.contracts import Count, Daily, Date, Domain, Event, Published, column, source, table
from assay.landing.formats import Debezium

OWNER = "team:parcels"


@source(
    "parcels",
    format=Debezium(table="parcels"),
    key=("parcel_id",),
    partition=Daily("sent_on", of="day"),
    owner=OWNER,
    subject="parcels",
    deletes_kept=timedelta(days=365),
)
class ParcelEvents(Event):
    """Parcels as the depot's database changes them."""

    parcel_id: str = column("The parcel", nullable=True)
    grams: int = column("What it weighs", nullable=True)
    day: Date = column("When it was sent", nullable=True)


@table("parcels", layer="enriched", key=("parcel_id",), partition=Daily("day"), owner=OWNER, subject="parcels")
class Parcels(Published):
    """One row a parcel."""

    parcel_id: str = column("The parcel")
    grams: Count = column("What it weighs")
    day: Date = column("When it was sent")


DOMAIN = Domain(name="parcels", contracts=__name__, sql=Path(__file__).parent / "sql", start=date(2025, 1, 1))
