"""The same tables as a dbt project on DuckDB: how long a data team's usual tool takes for them.

The project reads the same landing files with the same queries as `by_hand`, runs the same SQL files unchanged, and writes what
dbt-duckdb writes by itself: raw events as tables of a database file, enriched tables and marts as one zstd Parquet file each.
It is not told what a day depends on, has no tests, and refuses bad payments by the same WHERE as the script.

Belongs here: writing the project and running `dbt build`. Does not belong here: the queries (`by_hand`), measuring (`measure`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import by_hand
import lakes
import measure
import yaml

DBT = os.environ.get("ASSAY_BENCH_DBT") or shutil.which("dbt")
"""The command; dbt is better off in a virtual environment of its own."""

_DAILY = ("transactions", "legacy_transactions")
_TABLES = (
    *(
        f"enriched.{name}"
        for name in (
            "fx_rates",
            "dollar_rates",
            "merchant_categories",
            "customer_history",
            "customers",
            "customer_risk",
            "merchants",
            "transactions",
        )
    ),
    *(f"marts.{name}" for name in lakes.MARTS),
)
_READS = re.compile(r"\b(?:raw|latest|history|enriched|marts)\.\w+")
_KEYS = {
    "fx_rates": "date, currency",
    "merchant_categories": "mcc",
    "customer_risk": "customer_id",
    "transactions": "transaction_id",
    "legacy_transactions": "transaction_id",
}
# Schemas are named as the SQL names them, not prefixed with the target's.
_SCHEMA_MACRO = "{% macro generate_schema_name(name, node) %}{{ name or target.schema }}{% endmacro %}"


def run(landing: Path, folder: Path) -> measure.Cost:
    """Run `dbt build` over landed files as a process; `folder` gets the project, and `enriched/` and `marts/` in it."""
    assert DBT is not None
    shutil.rmtree(folder, ignore_errors=True)
    _write_project(landing, folder)
    command = [DBT, "build", "--project-dir", str(folder), "--profiles-dir", str(folder), "--no-use-colors"]
    return measure.run_process(command, lakes.environment() | {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false"})


def _write_project(landing: Path, folder: Path) -> None:
    for name in ("models", "macros", "enriched", "marts"):
        (folder / name).mkdir(parents=True)
    (folder / "macros" / "schemas.sql").write_text(_SCHEMA_MACRO, encoding="utf-8")
    project = {
        "name": "payments",
        "version": "1.0",
        "profile": "payments",
        "flags": {"send_anonymous_usage_stats": False},
        "on-run-start": [by_hand.INSTANT.strip().replace("CREATE MACRO", "CREATE OR REPLACE MACRO")],
    }
    target = {
        "type": "duckdb",
        "path": str(folder / "payments.duckdb"),
        "threads": 1,
        "settings": {"memory_limit": lakes.MEMORY, "threads": lakes.THREADS, "TimeZone": "UTC"},
    }
    (folder / "dbt_project.yml").write_text(yaml.safe_dump(project), encoding="utf-8")
    profiles = {"payments": {"target": "bench", "outputs": {"bench": target}}}
    (folder / "profiles.yml").write_text(json.dumps(profiles), encoding="utf-8")
    _write_models(landing, folder)


def _write_models(landing: Path, folder: Path) -> None:
    def landed(source: str) -> list[Path]:
        return sorted(path for path in (landing / source).rglob("*") if path.is_file())

    raw = {
        "customers": by_hand.debezium(landed("customers"), "customers", "customer_id", by_hand.CUSTOMER),
        "merchants": by_hand.debezium(landed("merchants"), "merchants", "merchant_id", by_hand.MERCHANT),
        "customer_risk": by_hand.risk(landed("customer_risk")),
        "fx_rates": by_hand.rates(landed("fx_rates")),
        "merchant_categories": by_hand.categories(landed("merchant_categories")),
        "transactions": by_hand.payments(landed("transactions")),
        "legacy_transactions": by_hand.legacy(landed("legacy_transactions")),
    }
    for source, query in raw.items():
        records = f"SELECT * FROM ({query})"
        if "is_event" in query:
            records = f"SELECT * EXCLUDE (is_event) FROM ({query}) WHERE is_event"
        _write_model(folder, f"raw.{source}", records, materialized="table")
        if source in _KEYS:
            query = by_hand.newest(f"raw.{source}", _KEYS[source])
            if source in _DAILY:
                # One key is folded within its day, as the script and the platform do.
                query = by_hand.newest(f"(FROM raw.{source} WHERE event_date IS NOT NULL)", f"event_date, {_KEYS[source]}")
            _write_model(folder, f"latest.{source}", query, materialized="view")
    for source, columns in (("customers", by_hand.CUSTOMER), ("merchants", by_hand.MERCHANT)):
        _write_model(folder, f"history.{source}", by_hand.history(source, columns), materialized="view")
    for name in _TABLES:
        sql = (lakes.SQL / f"{name.replace('.', '/')}.sql").read_text(encoding="utf-8").rstrip().rstrip(";")
        if name == "enriched.transactions":
            sql = f"SELECT * FROM ({sql}\n) WHERE {by_hand.GOOD_PAYMENT}"
        location = folder / name.replace(".", "/") / "data.parquet"
        location.parent.mkdir(exist_ok=True)
        _write_model(folder, name, sql, materialized="external", location=str(location), options={"codec": "zstd"})


def _write_model(folder: Path, name: str, sql: str, **config: object) -> None:
    """Write a model, and tell dbt what it depends on, since the SQL names tables plainly."""
    schema, _, table = name.partition(".")
    settings = ", ".join(f"{key}={value!r}" for key, value in {"schema": schema, "alias": table, **config}.items())
    reads = sorted(set(_READS.findall(sql)))
    depends = "".join(f"-- depends_on: {{{{ ref('{_model_name(read)}') }}}}\n" for read in reads)
    text = f"{{{{ config({settings}) }}}}\n{depends}{sql}\n"
    (folder / "models" / f"{_model_name(name)}.sql").write_text(text, encoding="utf-8")


def _model_name(name: str) -> str:
    return name.replace(".", "__")
