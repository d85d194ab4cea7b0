"""The domain as a whole: it loads, its SQL agrees with its contracts, its repeated expressions are equal."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from assay.contracts import Domain
from assay.engine.project import Project, load_project
from payments.contracts.vocabulary import DECLINE_GROUPS, DECLINE_REASONS, instant, money
from payments.monitoring import RULES

TABLES = {
    "enriched.chargebacks",
    "enriched.customer_history",
    "enriched.customer_risk",
    "enriched.customers",
    "enriched.dollar_rates",
    "enriched.fx_rates",
    "enriched.merchant_categories",
    "enriched.merchants",
    "enriched.refunds",
    "enriched.return_changes",
    "enriched.transactions",
    "marts.aml_alerts",
    "marts.aml_dormant_awakening",
    "marts.aml_high_risk_corridors",
    "marts.aml_rapid_in_and_out",
    "marts.aml_round_amounts",
    "marts.aml_structuring",
    "marts.aml_velocity",
    "marts.chargebacks_enriched",
    "marts.customer_lifetime",
    "marts.customer_spending",
    "marts.daily_revenue",
    "marts.merchant_daily",
    "marts.refunds_enriched",
    "marts.transaction_audit_trail",
    "marts.transactions_enriched",
}
SOURCES = {
    "chargebacks",
    "customer_risk",
    "customers",
    "fx_rates",
    "legacy_transactions",
    "merchant_categories",
    "merchants",
    "refunds",
    "transactions",
}


@pytest.fixture(scope="module")
def project(domain: Domain) -> Project:
    return load_project(domain)


def test_declares_its_tables_and_sources(domain: Domain) -> None:
    assert set(domain.written_tables) == TABLES
    assert set(domain.tables) == TABLES | set(domain.generated)
    assert set(domain.sources) == SOURCES


def test_every_sql_file_belongs_to_a_table(domain: Domain) -> None:
    files = {f"{path.parent.name}.{path.stem}" for path in domain.sql.rglob("*.sql")}

    assert files == TABLES


def test_sql_agrees_with_contracts(project: Project) -> None:
    assert set(project.nodes) >= TABLES


def test_every_column_but_plain_counts_leads_back_to_a_source(project: Project) -> None:
    without_origin = {
        f"{name}.{column}"
        for name, node in project.nodes.items()
        for column, origins in node.query.lineage.items()
        if not origins
    }

    # What a rule says of itself, and not of payments.
    said = {"rule", "severity", "held_against", "parameters"}
    of_rules = {f"{rule.table}.{name}" for rule in RULES for name in (*said, "transaction_count")}

    assert without_origin == of_rules | {
        "enriched.customer_history.state_count",
        "enriched.merchants.state_count",
        "enriched.return_changes.delivery_count",
        "enriched.return_changes.subject",
        "marts.aml_round_amounts.measured",
        "marts.customer_spending.transaction_count",
        "marts.daily_revenue.transaction_count",
        "marts.merchant_daily.transaction_count",
        "marts.merchant_daily.unique_customers",
    }


def test_lineage_of_an_amount_in_dollars(project: Project) -> None:
    lineage = project.nodes["marts.transactions_enriched"].query.lineage["amount_usd"]

    assert {(origin.relation, origin.column) for origin in lineage} >= {
        ("enriched.transactions", "amount"),
        ("enriched.transactions", "currency"),
        ("enriched.dollar_rates", "dollars"),
        ("enriched.dollar_rates", "units"),
    }


def test_every_column_is_described(domain: Domain) -> None:
    for declared in [*domain.tables.values(), *domain.sources.values()]:
        assert declared.description, declared.full_name
        assert all(spec.description for spec in declared.columns), declared.full_name


def test_personal_columns_are_marked(domain: Domain) -> None:
    marked = {spec.name: spec.pii for spec in domain.tables["enriched.customers"].columns if spec.pii}

    assert marked["email"] == "email"
    assert marked["phone"] == "phone"
    assert marked["date_of_birth"] == "birth_date"
    assert marked["full_name"] == "name"
    assert marked["billing_line1"] == marked["shipping_postal_code"] == "address"
    history = {spec.name: spec.pii for spec in domain.tables["enriched.customer_history"].columns if spec.pii}
    assert history == marked


@pytest.mark.parametrize(
    ("file", "column", "expression"),
    [
        ("enriched/transactions.sql", "amount", money),
        ("enriched/transactions.sql", "written_date", instant),
        ("enriched/refunds.sql", "amount", money),
        ("enriched/refunds.sql", "payment_amount", money),
        ("enriched/refunds.sql", "requested_at", instant),
        ("enriched/refunds.sql", "refunded_at", instant),
        ("enriched/refunds.sql", "paid_at", instant),
        ("enriched/chargebacks.sql", "amount", money),
        ("enriched/chargebacks.sql", "payment_amount", money),
        ("enriched/chargebacks.sql", "opened_at", instant),
        ("enriched/chargebacks.sql", "closed_at", instant),
        ("enriched/chargebacks.sql", "captured_at", instant),
        ("enriched/chargebacks.sql", "paid_at", instant),
        ("enriched/customer_history.sql", "registered_at", instant),
        ("enriched/return_changes.sql", "amount", money),
        ("enriched/return_changes.sql", "paid_at", instant),
        ("marts/transaction_audit_trail.sql", "amount", money),
        ("enriched/customer_risk.sql", "scored_at", instant),
    ],
)
def test_sql_reads_texts_exactly_as_the_sources_do(domain: Domain, file: str, column: str, expression) -> None:
    sql = sqlglot.parse_one((domain.sql / file).read_text(encoding="utf-8"), dialect="duckdb")
    wanted = sqlglot.parse_one(expression(column), dialect="duckdb")

    assert any(node == wanted for node in sql.find_all(type(wanted)))


def test_marts_find_merchants_in_the_same_way(domain: Domain) -> None:
    marts = ["transactions_enriched", "refunds_enriched", "chargebacks_enriched"]
    parsed = [
        sqlglot.parse_one((domain.sql / f"marts/{mart}.sql").read_text(encoding="utf-8"), dialect="duckdb") for mart in marts
    ]
    held = [next(cte for cte in each.find_all(exp.CTE) if cte.alias == "merchant") for each in parsed]
    for name in ("held_from", "held_to"):
        assert len({next(column.sql() for column in cte.this.selects if column.alias == name) for cte in held}) == 1, name


def test_sql_knows_every_decline_reason(domain: Domain) -> None:
    sql = (domain.sql / "marts/transactions_enriched.sql").read_text(encoding="utf-8")

    assert dict(re.findall(r"WHEN converted\.failure_reason = '(\w+)' THEN '(\w+)'", sql)) == DECLINE_REASONS
    assert {*DECLINE_REASONS.values(), "other", "unknown"} == set(DECLINE_GROUPS)


def test_showcase_runs_on_an_empty_lake(domain: Domain) -> None:
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA marts")
    columns = ", ".join(f'"{name}" {kind}' for name, kind in domain.tables["marts.merchant_daily"].types.items())
    connection.execute(f"CREATE TABLE marts.merchant_daily ({columns})")

    assert domain.showcase is not None
    assert connection.execute(domain.showcase).fetchall() == []


@pytest.mark.parametrize(
    ("source", "object_name", "version"),
    [
        ("fx_rates", "eurofxref-2025-01-03.csv", "2025-01-03"),
        ("fx_rates", "eurofxref-hist-2025-01-03.csv", "2025-01-03"),
        ("fx_rates", "eurofxref-hist.csv", None),
        ("legacy_transactions", "legacy-2024-12.csv", "2024-12"),
        ("merchant_categories", "mcc_codes-20250103.csv", "20250103"),
    ],
)
def test_files_are_ordered_by_the_date_in_their_name(domain: Domain, source: str, object_name: str, version: str | None) -> None:
    found = re.search(domain.sources[source].format.version, object_name)  # type: ignore[attr-defined]

    assert (found.group(1) if found else None) == version


@given(st.text(alphabet="0123456789-/:TZ. +", max_size=25))
def test_the_day_of_any_text_is_read_without_an_error(text: str) -> None:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")

    connection.execute(f"SELECT TRY_CAST({instant('x')} AS DATE) FROM (SELECT ?::VARCHAR AS x)", [text])


def test_sql_stands_beside_the_platform(domain: Domain) -> None:
    assert domain.sql.is_dir()
    assert domain.sql == Path(__file__).resolve().parents[2] / "assets_sql"
