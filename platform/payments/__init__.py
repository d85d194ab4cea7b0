"""The payments domain: the data that a payments company lands, and the tables and marts derived from them.

Belongs here: declarations only: contracts, sources, metrics, monitoring rules, controls, holidays, and which simulated company
lands demo files (`simulator`). Does not belong here: machinery of any kind; another company replaces this package and
`assets_sql/` and changes nothing in `assay`.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import date
from pathlib import Path

from assay.contracts import Domain
from assay.contracts.domain import DemoFile, LiveSystem
from payments.controls import CONTROLS
from payments.holidays import HOLIDAYS
from payments.monitoring import RULES


def _demo(folder: Path, *, days: int, transactions_per_day: int, seed: int) -> Generator[DemoFile, None, None]:
    """Write the files of a simulated payments company below a folder, yielding each when it is complete."""
    # Imported late, because only the demo needs it.
    import simulator

    company = simulator.Company(days=days, transactions_per_day=transactions_per_day, seed=seed)
    yield from simulator.produce(company, folder)
    yield from simulator.closings(company, folder)


def _live() -> LiveSystem:
    """Make the payments company's database."""
    from simulator.workload import PaymentsDatabase

    return PaymentsDatabase()


def _sql_folder() -> Path:
    """Find `assets_sql`: beside `platform/` in a checkout, where analysts look for it; beside this package in a wheel."""
    package = Path(__file__).resolve().parent
    checkout, wheel = package.parents[1] / "assets_sql", package.parent / "assets_sql"
    return checkout if checkout.is_dir() else wheel


DOMAIN = Domain(
    name="payments",
    contracts="payments.contracts",
    sql=_sql_folder(),
    # Archives reach back this far.
    start=date(2017, 1, 1),
    demo=_demo,
    live=_live,
    holidays=HOLIDAYS,
    controls=CONTROLS,
    metrics="payments.metrics",
    histories={"customer": "enriched.customer_history", "merchant": "enriched.merchants"},
    monitoring=RULES,
    showcase="""
        SELECT
          merchant_id,
          max(merchant_name) AS merchant,
          sum(transaction_count)::BIGINT AS payments,
          sum(revenue_usd)::DECIMAL(18,2) AS revenue_usd,
          round(100 * sum(refunded_count) / nullif(sum(settled_count), 0), 2) AS refunded_percent,
          round(100 * sum(chargeback_count) / nullif(sum(settled_count), 0), 2) AS chargeback_percent,
          sum(new_customers_90d)::BIGINT AS new_customers_90d
        FROM marts.merchant_daily
        GROUP BY merchant_id
        ORDER BY revenue_usd DESC, merchant_id
        LIMIT 10
    """,
)
