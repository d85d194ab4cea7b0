"""A lake of many tables and a long history, made without running anything: what the quality report is measured and looked at on.

Everything that is read is written as runs would: index, own tables, quarantine, failures, ledger. Only the published objects are
empty, because nobody opens them.
"""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from assay.contracts import Domain, Table, load_domain
from assay.lake import ObjectStore, open_store
from assay.lake.index import Entry
from assay.lake.layout import index_key, partition_key, proofs_part_key, quality_key, quarantine_key
from assay.lake.ledger import Batch, LandedObject, Layout, LedgerLog, Part
from assay.landing.drift import write_held
from assay.pipeline.failures import Failure, write_failures
from assay.pipeline.scoring import PROOFS, as_parquet
from assay.quality.own_tables import ANOMALIES, PROFILES, OwnTable
from assay.quality.report import DIMENSIONS

LAST = dt.date(2026, 3, 31)
"""The last day of the history."""
MODULE = "wide"
SUBJECTS = (
    "payments",
    "refunds",
    "payouts",
    "disputes",
    "fees",
    "settlements",
    "invoices",
    "ledger_entries",
    "balances",
    "cards",
)
REGIONS = ("APAC", "EU", "LATAM", "NA")
RULES = {
    "entry_id_required": ("completeness", "quarantine"),
    "customer_id_required": ("completeness", "quarantine"),
    "amount_required": ("completeness", "quarantine"),
    "currency_required": ("completeness", "quarantine"),
    "region_required": ("completeness", "quarantine"),
    "state_required": ("completeness", "quarantine"),
    "booked_on_required": ("completeness", "quarantine"),
    "amount_at_least": ("validity", "quarantine"),
    "amount_at_most": ("validity", "warn"),
    "currency_known": ("validity", "quarantine"),
    "state_known": ("validity", "quarantine"),
    "region_known": ("validity", "quarantine"),
    "key_unique": ("uniqueness", "stop"),
    "amount_total": ("consistency", "stop"),
    "landed_in_time": ("timeliness", "warn"),
}
_HEAD = """from datetime import timedelta

from assay.contracts import Daily, Date, Event, Money, Published, Severity, column, source, table
from assay.landing.formats import Debezium

"""
_SOURCE = '''
@source("entries", format=Debezium(table="entries"), key=("entry_id",), partition=Daily("booked_on", of="booked"),
        owner="team:core", subject="core", freshness=timedelta(hours=26))
class Entries(Event):
    """Entries as the core system changes them."""

    entry_id: str = column("The entry", nullable=True)
    customer_id: str = column("Whose it is", nullable=True)
    amount: str = column("What it is about", nullable=True)
    currency: str = column("ISO 4217 code", nullable=True)
    region: str = column("Sales region", nullable=True)
    state: str = column("State of the entry", nullable=True)
    booked: str = column("The day", nullable=True)
'''
_TABLE = '''
@table("{name}", layer="{layer}", key=("entry_id",), partition=Daily("booked_on"), owner="team:{owner}", subject="{owner}",
       money="amount", threshold=95, tolerated=5, freshness=timedelta(hours=26), severities={{"amount_at_most": Severity.WARN}})
class Entry{number}(Published):
    """One row a booked entry of {name}."""

    entry_id: str = column("The entry")
    customer_id: str = column("Whose it is")
    amount: Money = column("What it is about", unit="EUR", ge=0, le=1_000_000)
    currency: str = column("ISO 4217 code", isin=["EUR", "USD", "GBP"])
    region: str = column("Sales region", isin=["APAC", "EU", "LATAM", "NA"])
    state: str = column("State of the entry", isin=["open", "done"])
    booked_on: Date = column("The day")

'''
_TAIL = f'''from datetime import date
from pathlib import Path

from assay.contracts import Domain

DOMAIN = Domain(name="{MODULE}", contracts=f"{{__name__}}.contracts", sql=Path(__file__).parent / "sql", start=date(2024, 1, 1))
'''
_SQL = """-- One row a booked entry.
SELECT entry_id, customer_id, amount::DECIMAL(18,2) AS amount, currency, region, state, {day}::DATE AS booked_on,
  {provenance} FROM {read}
"""


@dataclass(frozen=True)
class WideLake:
    """The lake.

    Attributes:
        domain: Its domain.
        store: Its objects.
        days: Its history, the oldest first.
    """

    domain: Domain
    store: ObjectStore
    days: tuple[dt.date, ...]


def write_domain(folder: Path, tables: int) -> None:
    """Write a domain's package below a folder that is to be on Python's path."""
    package = folder / MODULE
    (package / "contracts").mkdir(parents=True)
    (package / "contracts" / "__init__.py").touch()
    (package / "contracts" / "entries.py").write_text(_HEAD + _SOURCE)
    for number in range(tables):
        layer = "enriched" if number < tables * 3 // 5 or tables < 3 else "marts"
        name = f"{SUBJECTS[number % len(SUBJECTS)]}_{number:02}"
        module = package / "contracts" / f"{name}.py"
        module.parent.mkdir(exist_ok=True)
        module.write_text(
            _HEAD + _TABLE.format(name=name, layer=layer, number=number, owner=("core", "treasury", "risk")[number % 3])
        )
        raw = layer == "enriched"
        read = "latest.entries" if raw else f"enriched.{SUBJECTS[0]}_00"
        path = package / "sql" / layer / f"{name}.sql"
        path.parent.mkdir(parents=True, exist_ok=True)
        provenance = "_ingested_at AS ingestion_timestamp, _source AS data_source" if raw else "ingestion_timestamp, data_source"
        path.write_text(_SQL.format(read=read, day="booked" if raw else "booked_on", provenance=provenance))
    (package / "sql" / "marts").mkdir(exist_ok=True)
    (package / "__init__.py").write_text(_TAIL)


def write_lake(folder: Path, length: int, quarantined_tables: int = 10) -> WideLake:
    """Write the lake of the domain that `write_domain` wrote; the same every time.

    Args:
        folder: Where the lake is made.
        length: Days of history.
        quarantined_tables: Tables with a quarantine object on every fourth day.
    """
    domain = load_domain(MODULE)
    store = open_store((folder / "lake").as_uri())
    days = tuple(LAST - dt.timedelta(days=back) for back in reversed(range(length)))
    quarantine = _quarantine_files(folder, days)
    proofs = []
    for number, table in enumerate(domain.tables.values()):
        proofs += _write_table(folder, store, table, number, days, quarantine if number < quarantined_tables else {})
    write_proofs(store, proofs)
    _write_source(store, days)
    tables = list(domain.tables.values())
    if len(tables) > 3:
        failed = Failure("x", ("4,211 rows repeat a key (entry_id)",), "0d6c1f4e", False)
        below = Failure("y", ("the quality score is 91.40, below the threshold of 95",), "0d6c1f4e", True)
        write_failures(store, tables[3], {days[-1].isoformat(): failed}, ())
        write_failures(store, tables[1], {day.isoformat(): below for day in days[-2:]}, ())
    return WideLake(domain, store, days)


def _scores(number: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """Share of rows that broke a rule, by day."""
    share = np.abs(rng.normal(0.0008, 0.0005, length)) * (0 if number % 5 == 4 else 1)
    if number % 7 == 1:
        share[-9:] += np.linspace(0.01, 0.086, 9)[-min(9, length) :]
    if number % 7 == 2 and length > 60:
        share[-60:-54] += 0.03
    if number % 7 == 3:
        share += 0.006 * (np.arange(length) % 7 == 0)
    return np.minimum(share, 1.0)


def _write_table(
    folder: Path, store: ObjectStore, table: Table, number: int, days: tuple[dt.date, ...], quarantine: Mapping[dt.date, bytes]
) -> list[dict[str, Any]]:
    rng = np.random.default_rng(number)
    length = len(days)
    rows = (
        20_000 * (1 + number % 4) * (1 + 0.25 * np.sin(np.arange(length) * 2 * np.pi / 7)) * rng.normal(1, 0.03, length)
    ).astype(int)
    share = _scores(number, length, rng)
    broken = (rows * share).astype(int)
    index: dict[str, Any] = {}
    stops = length - (3 if number % 11 == 5 else 0)
    for place, day in enumerate(days[:stops]):
        key = partition_key(table, day.isoformat())
        path = folder / "lake" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        kept = None
        if day in quarantine:
            kept = quarantine_key(table, day.isoformat(), "made")
            held = folder / "lake" / kept
            held.parent.mkdir(parents=True, exist_ok=True)
            held.write_bytes(quarantine[day])
        bad, good = int(broken[place]), int(rows[place] - broken[place])
        unbalanced = 12 if number == 6 and place == length - 2 else 0
        books = {"received": bad + good + unbalanced, "published": good, "quarantined": bad, "superseded": 0, "deleted": 0}
        money = {name: f"{value * 41.5:.4f}" for name, value in books.items()}
        at = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(4, 10), dt.UTC).isoformat()
        index[day.isoformat()] = Entry(
            contract=table.version,
            code="c",
            inputs="i",
            lookups={},
            content=f"{number}-{day}",
            refused="r",
            rows=good,
            staged=good + bad,
            books=books | {"balanced": not unbalanced, "money": money},
            score=round(100 * good / max(good + bad, 1), 4),
            rules={"currency_known": bad} if bad else {},
            run_id="run",
            published_at=at,
            quarantine=kept,
            is_scored=True,
        )
    etags = {info.key: info.etag for info in store.list(f"{table.layer}/{table.name}/")}
    written = {name: asdict(entry) | {"etag": etags[partition_key(table, name)]} for name, entry in index.items()}
    store.put(index_key(table), json.dumps(written).encode())
    proofs = _proof_rows(table, number, days[:stops], rows, broken, rng)
    _write(store, PROFILES, table, _profile_rows(table, days[:stops], rows, rng))
    if number % 9 == 2 and length > 20:
        _write(store, ANOMALIES, table, _anomaly_rows(table, days[-2], int(rows[-2])))
    return proofs


def _proven(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day + dt.timedelta(days=1), dt.time(4, 10), dt.UTC)


def _proof_rows(
    table: Table, number: int, days: tuple[dt.date, ...], rows: np.ndarray, broken: np.ndarray, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """One row a day, with the results of its rules inside."""
    found = []
    second = ("customer_id_required", "amount_at_least")[number % 2]
    warned = rng.poisson(3 if number % 3 == 0 else 0, len(days))
    for place, day in enumerate(days):
        judged, bad = int(rows[place]), int(broken[place])
        share = bad / max(judged, 1)
        failed = (number == 3 and place == len(days) - 1) or (number == 1 and place >= len(days) - 2)
        counts = {"currency_known": bad * 7 // 10, "amount_at_most": int(warned[place])}
        counts[second] = bad - counts["currency_known"]
        scores = (100 - 30 * share, 100 - 70 * share, 100.0, 100 - 5 * share, 100.0)
        row = {
            "table_name": table.full_name,
            "partition": day.isoformat(),
            "run_id": "run",
            "proven_at": _proven(day),
            "status": "failed" if failed else "published",
            "row_count": judged,
            "published": judged - bad,
            "quarantined": bad,
            "score": 100 * (1 - share),
            "money_score": 100 * (1 - 1.4 * share),
            "money": Decimal(judged) * 41,
            "money_at_risk": Decimal(bad) * 57,
            "balanced": True,
            "contract": table.version,
            "results": [
                {
                    "rule": rule,
                    "dimension": dimension,
                    "severity": severity,
                    "owner": table.owner,
                    "broken": counts.get(rule, 0),
                    "money_at_risk": Decimal(counts.get(rule, 0)) * 57,
                    "passed": not counts.get(rule, 0),
                }
                for rule, (dimension, severity) in RULES.items()
            ],
        }
        found.append(row | dict(zip(DIMENSIONS, scores, strict=True)))
    return found


def write_proofs(store: ObjectStore, rows: list[dict[str, Any]]) -> None:
    """Write proofs as they lie in the lake when those of a month were merged."""
    months: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        months.setdefault(f"{row['proven_at']:%Y-%m}", []).append(row)
    for month, proofs in months.items():
        store.put(proofs_part_key(month, 0), as_parquet(pa.Table.from_pylist(proofs, PROOFS)))


def _profile_rows(table: Table, days: tuple[dt.date, ...], rows: np.ndarray, rng: np.random.Generator) -> pa.Table:
    series = [
        (metric, column, region) for metric, column in (("volume", None), ("value", "amount")) for region in (None, *REGIONS)
    ]
    found: dict[str, list[Any]] = {name: [] for name in PROFILES.schema.names}
    for metric, column, region in series:
        share = 1.0 if region is None else 0.25
        figures = rows[: len(days)] * share * (1 if metric == "volume" else 41.5) * rng.normal(1, 0.04, len(days))
        if region == "EU":
            figures[-2] *= 0.06
        values = {
            "table_name": [table.full_name] * len(days),
            "partition": list(days),
            "metric": [metric] * len(days),
            "of_column": [column] * len(days),
            "category": [None] * len(days),
            "region": [region] * len(days),
            "figure": figures.tolist(),
            "row_count": rows[: len(days)].tolist(),
            "content": [f"{table.full_name}-{day}" for day in days],
            "watch": ["w"] * len(days),
        }
        for name, more in values.items():
            found[name] += more
    return pa.table(
        [pa.array(found[name], field.type) for name, field in zip(found, PROFILES.schema, strict=True)], schema=PROFILES.schema
    )


def _anomaly_rows(table: Table, day: dt.date, rows: int) -> pa.Table:
    expected, observed = rows * 0.25, rows * 0.25 * 0.06
    text = f"rows in EU: {observed:,.0f}, expected {expected:,.0f} (-94%, score -21.3, 8 like days)"
    row = {
        "table_name": table.full_name,
        "partition": day,
        "metric": "volume",
        "of_column": None,
        "category": None,
        "region": "EU",
    }
    row |= {"observed": observed, "expected": expected, "change": -0.94, "score": -21.3, "like_days": 8, "holiday": None}
    return pa.Table.from_pylist([row | {"content": "c", "text": text}], ANOMALIES.schema)


def _quarantine_files(folder: Path, days: tuple[dt.date, ...]) -> dict[dt.date, bytes]:
    """A quarantine object of every fourth day, the newest among them."""
    found = {}
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        for day in days[::-4]:
            path = folder / "quarantined.parquet"
            connection.execute(f"""COPY (
SELECT ['currency_known'] AS _rules, ['currency: isin(EUR, USD, GBP)'] AS _reasons, 'v' AS _contract,
  'landing/entries/{day}.json' AS _landing_object, n AS _landing_row, [n] AS _sequence,
  '{{"entry_id": "' || n || '", "currency": "EURO"}}' AS _record, TIMESTAMPTZ '{day} 12:00:00+00' AS _ingested_at,
  '{day}-' || n AS entry_id FROM range(12) AS rows(n)) TO '{path}' (FORMAT parquet, COMPRESSION zstd)""")
            found[day] = path.read_bytes()
            path.unlink()
    return found


def _write_source(store: ObjectStore, days: tuple[dt.date, ...]) -> None:
    log = LedgerLog(store, "entries")
    log.read()
    new = Layout(missing=(), added={"device_id": "VARCHAR"})
    for day in days[-60:]:
        key = f"landing/entries/{day}.json"
        layout = "new" if day == days[-1] else ""
        landed = (LandedObject(key, "e", 60_000, 0, layout=layout),)
        part = Part(day.isoformat(), f"raw/entries/booked_on={day}/{day}/b.parquet", 60_000, "2490000.00", "v")
        log.append(Batch(id=str(day), version="v", landed=landed, parts=(part,), layouts={"new": new} if layout else {}))
    write_held(
        store, "entries", {"landing/entries/late.json": "the type of amount has changed: none of its 812 values is a DECIMAL"}
    )


def _write(store: ObjectStore, own: OwnTable, table: Table, rows: pa.Table) -> None:
    written = io.BytesIO()
    pq.write_table(rows, written, compression="zstd")
    store.put(quality_key(own.name, table), written.getvalue())
