"""Facts to measure marts of metrics on: published payments, refunds and disputes of years, made without ingesting their events.

Belongs here: drawing the rows, and publishing them as the platform does. Does not belong here: marts of them (`make_marts`), the
script by hand (`marts_by_hand`).

The rows are drawn by DuckDB and take the place of what the SQL of the three marts computes; from there on they are staged,
proven, published and remembered as any partition is. What the platform did not do for them is account for their inputs and look
their merchants and customers up, of which there are none.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import duckdb

from assay.engine.project import Node
from assay.engine.staging import STAGED, stage
from assay.pipeline.outcome import Outcome, Status
from assay.pipeline.publish import Candidate, publish
from assay.pipeline.scoring import keep_proofs
from assay.pipeline.state import State
from assay.pipeline.watching import watch_tables
from assay.pipeline.workspace import Workspace
from assay.quality.books import Books, Side
from assay.quality.proof import prove

PAYMENTS = "marts.transactions_enriched"
REFUNDS = "marts.refunds_enriched"
DISPUTES = "marts.chargebacks_enriched"
_ROWS_AT_ONCE = 2_000_000
_WEEKDAYS = (0.96, 0.95, 0.97, 1.00, 1.14, 1.12, 0.86)
_REFUNDS_A_DAY, _DISPUTES_A_DAY = 0.03, 0.005


@dataclass(frozen=True)
class Trade:
    """How much is paid, by whom and to whom.

    Attributes:
        start: The first day.
        days: How many.
        payments_a_day: Payments a day, on average over a week.
        customers: Who pays, some more often than others.
        merchants: Who is paid, few of them most of it.
    """

    start: dt.date
    days: int
    payments_a_day: int
    customers: int
    merchants: int

    @property
    def name(self) -> str:
        """Tells it from others, as a folder's name."""
        return f"{self.payments_a_day}-a-day-{self.start}-of-{self.days}-by-{self.customers}-at-{self.merchants}"

    def payments(self, day: dt.date) -> int:
        """Payments of a day; that of a single day is the average."""
        return round(self.payments_a_day * (_WEEKDAYS[day.weekday()] if self.days > 1 else 1))

    @property
    def dates(self) -> list[dt.date]:
        """Its days."""
        return [self.start + dt.timedelta(days=day) for day in range(self.days)]


def publish_trade(workspace: Workspace, trade: Trade) -> int:
    """Publish all facts of a trade; returns how many payments there are."""
    with workspace.connection() as connection:
        state = State(workspace)
        for table, share in ((PAYMENTS, 1.0), (REFUNDS, _REFUNDS_A_DAY), (DISPUTES, _DISPUTES_A_DAY)):
            rows = {day: max(1, round(trade.payments(day) * share)) for day in trade.dates}
            for part in _parts(rows):
                _publish(connection, state, trade, table, part)
        # The first run that watches measures every day of the facts, which is no work on marts.
        watch_tables(connection, state, dt.datetime.now(dt.UTC))
    return sum(trade.payments(day) for day in trade.dates)


def publish_late(workspace: Workspace, trade: Trade, day: dt.date, more: int) -> None:
    """Publish a day again with more payments."""
    with workspace.connection() as connection:
        _publish(connection, State(workspace), trade, PAYMENTS, {day: trade.payments(day) + more})


def _parts(rows: Mapping[dt.date, int]) -> list[dict[dt.date, int]]:
    parts: list[dict[dt.date, int]] = [{}]
    for day, count in rows.items():
        if parts[-1] and sum(parts[-1].values()) + count > _ROWS_AT_ONCE:
            parts.append({})
        parts[-1][day] = count
    return parts


def _publish(connection: duckdb.DuckDBPyConnection, state: State, trade: Trade, name: str, rows: Mapping[dt.date, int]) -> None:
    node = state.workspace.project.nodes[name]
    run = uuid.uuid4().hex
    partitions = [day.isoformat() for day in rows]
    drawn = replace(node, query=replace(node.query, sql=_SQL[name](trade, rows)), casts={})
    stage(connection, drawn, partitions)
    # There is nobody to look up.
    table = replace(node.table, expects=())
    judged = replace(node, table=table, casts={}, inputs=())
    verdicts = prove(connection, judged, partitions, _received(connection, node))
    candidates = []
    for partition, verdict in verdicts.items():
        assert not verdict.problems, f"{name} {partition}: {verdict.problems}"
        candidates.append(Candidate(partition, verdict, f"drawn {verdict.content}", {}, state.index(name).get(partition)))
    entries, outcomes = {}, []
    for candidate, result in publish(connection, state.workspace, node, candidates, run):
        assert isinstance(result, tuple), str(result)
        status, entry = result
        assert status is Status.PUBLISHED
        entries[candidate.partition] = replace(entry, is_scored=True)
        verdict = candidate.verdict
        outcomes.append(Outcome(name, candidate.partition, status, entry, books=verdict.books, rows=verdict.rows))
    keep_proofs(state.workspace.store, node, outcomes, run, dt.datetime.now(dt.UTC))
    state.remember(node.table, entries)


def _received(connection: duckdb.DuckDBPyConnection, node: Node) -> dict[str, Books]:
    counted = connection.execute(f"SELECT _partition, count(*), sum({node.table.money}) FROM {STAGED} GROUP BY 1").fetchall()
    return {day: Books(Side(received=Decimal(rows)), Side(received=Decimal(money))) for day, rows, money in counted}


def _values(rows: Mapping[dt.date, int]) -> str:
    return ", ".join(f"(DATE '{day}', {count})" for day, count in rows.items())


def _drawn(trade: Trade, rows: Mapping[dt.date, int], seed: int) -> str:
    """Common tables: one row each, with who paid whom how much, all of it drawn from hashes."""
    merchants = f"least(floor({trade.merchants} * pow({_draw('g', 0)}, 2)), {trade.merchants - 1})::BIGINT"
    customers = f"least(floor({trade.customers} * pow((g & 4294967295) / 4294967296.0, 1.3)), {trade.customers - 1})::BIGINT"
    return f"""
WITH days(day, count) AS (VALUES {_values(rows)}),
one AS (SELECT day, unnest(range(count)) AS number FROM days),
chance AS (
  SELECT day, number, hash(day, number, {seed}) AS h, hash(number, {seed}, day) AS g, hash({seed}, number, day) AS f
  FROM one
),
who AS (
  SELECT *, {_draw("h", 0)} AS a, {_draw("h", 1)} AS b, {_draw("h", 2)} AS c, {_draw("h", 3)} AS d,
    {_draw("f", 0)} AS e, {_draw("f", 1)} AS i, {_draw("f", 2)} AS j, {_draw("f", 3)} AS k,
    {merchants} AS merchant, {customers} AS customer
  FROM chance
),
placed AS (
  SELECT *,
    ['NA', 'NA', 'NA', 'NA', 'EU', 'EU', 'EU', 'APAC', 'APAC', 'LATAM'][1 + merchant % 10] AS region,
    ['US', 'US', 'US', 'CA', 'DE', 'FR', 'GB', 'JP', 'AU', 'BR'][1 + merchant % 10] AS country,
    exp(3.5 + 1.8 * (b + c + d - 1.5)) AS dollars
  FROM who
),
priced AS (
  SELECT *,
    CASE region WHEN 'NA' THEN 'USD' WHEN 'EU' THEN CASE WHEN a < 0.75 THEN 'EUR' ELSE 'GBP' END
      WHEN 'APAC' THEN CASE WHEN a < 0.7 THEN 'JPY' ELSE 'USD' END
      ELSE CASE WHEN a < 0.8 THEN 'BRL' ELSE 'USD' END END AS currency
  FROM placed
),
rated AS (
  SELECT *,
    CASE currency WHEN 'USD' THEN 1 WHEN 'EUR' THEN 1.08 WHEN 'GBP' THEN 1.27 WHEN 'JPY' THEN 0.0067 ELSE 0.19 END AS rate,
    make_timestamp(epoch_us(day::TIMESTAMP) + ((e + i) / 2 * 86399e6)::BIGINT) AS paid
  FROM priced
),
worth AS (
  SELECT *,
    greatest(round(dollars / rate, 2), 0.01)::DECIMAL(18,2) AS amount,
    greatest(round(dollars, 2), 0.01)::DECIMAL(18,2) AS usd
  FROM rated
)"""


def _draw(hashed: str, place: int) -> str:
    return f"(({hashed} >> {16 * place}) & 65535) / 65536.0"


_PARTIES = """
  'cus_' || lpad(customer::VARCHAR, 8, '0') AS customer_id,
  ['US', 'CA', 'DE', 'FR', 'GB', 'JP', 'BR'][1 + customer % 7] AS customer_country,
  ['NA', 'NA', 'EU', 'EU', 'EU', 'APAC', 'LATAM'][1 + customer % 7] AS customer_region,
  CASE WHEN customer % 50 = 0 THEN 'closed' ELSE 'active' END AS customer_status,
  CASE WHEN customer % 20 > 0 THEN (customer * 7919 % 10000) / 100.0 END AS risk_score,
  CASE WHEN customer % 20 > 0 THEN
    CASE WHEN customer * 7919 % 10000 < 4000 THEN 'low' WHEN customer * 7919 % 10000 < 7500 THEN 'medium' ELSE 'high' END
  END AS risk_band,
  'mer_' || lpad(merchant::VARCHAR, 8, '0') AS merchant_id,
  'Merchant ' || merchant AS merchant_name,
  country AS merchant_country,
  region AS merchant_region,
  (4000 + merchant * 31 % 300)::VARCHAR AS mcc,
  'Category ' || merchant * 31 % 300 AS category,
  CASE WHEN merchant % 5 < 3 THEN 'partner_' || lpad((merchant % 47)::VARCHAR, 2, '0') END AS partner,
  (paid + INTERVAL 20 MINUTE)::TIMESTAMPTZ AS ingestion_timestamp"""


def _payments(trade: Trade, rows: Mapping[dt.date, int]) -> str:
    return f"""{_drawn(trade, rows, 1)},
told AS (
  SELECT *,
    CASE WHEN j < 0.08 THEN 'failed' WHEN j < 0.11 THEN 'authorized' WHEN j < 0.14 THEN 'refunded'
      WHEN j < 0.145 THEN 'chargeback'
      ELSE 'captured' END AS state
  FROM worth
),
charged AS (
  SELECT *, CASE WHEN state IN ('failed', 'authorized') THEN 0 ELSE 1 END AS earns,
    CASE WHEN state = 'failed' THEN
      ['insufficient_funds', 'do_not_honor', 'expired_card', 'fraud_suspected', 'processing_error'][1 + floor(5 * k)::BIGINT]
    END AS why
  FROM told
),
fees AS (
  SELECT *, round(amount * 0.029 * earns, 2)::DECIMAL(18,2) AS fee, round(usd * 0.029 * earns, 2)::DECIMAL(18,2) AS fee_in_usd,
    round(amount * 0.018 * earns, 2)::DECIMAL(18,2) AS cost, round(usd * 0.018 * earns, 2)::DECIMAL(18,2) AS cost_in_usd
  FROM charged
)
SELECT
  'pay_' || strftime(day, '%Y%m%d') || lpad(number::VARCHAR, 8, '0') AS transaction_id,
  day AS transaction_date,
  paid::TIMESTAMPTZ AS transaction_timestamp,
  (paid - INTERVAL 5 HOUR)::DATE AS merchant_date,
  hour(paid - INTERVAL 5 HOUR) AS merchant_hour,
  state AS status,
  why AS failure_reason,
  CASE why WHEN 'insufficient_funds' THEN 'funds' WHEN 'do_not_honor' THEN 'issuer' WHEN 'expired_card' THEN 'card'
    WHEN 'fraud_suspected' THEN 'fraud' WHEN 'processing_error' THEN 'technical' END AS decline_group,
  region,
  CASE WHEN i < 0.62 THEN 'card' WHEN i < 0.9 THEN 'wallet' ELSE 'bank_transfer' END AS payment_method,
  customer % 11 = 0 AS is_recurring,
  ['3ds2', 'exempt', 'none'][1 + floor(3 * b)::BIGINT] AS sca_method,
  amount,
  currency,
  rate AS fx_rate_to_usd,
  CASE WHEN currency <> 'USD' THEN day - 1 END AS fx_source_date,
  usd AS amount_usd,
  fee AS fee_amount, fee_in_usd AS fee_usd, cost AS cost_amount, cost_in_usd AS cost_usd,
  fee - cost AS net_revenue, fee_in_usd - cost_in_usd AS net_revenue_usd,{_PARTIES},
  'transactions' AS data_source
FROM fees"""


def _refunds(trade: Trade, rows: Mapping[dt.date, int]) -> str:
    return f"""{_drawn(trade, rows, 2)}
SELECT
  'ref_' || strftime(day, '%Y%m%d') || lpad(number::VARCHAR, 8, '0') AS refund_id,
  day AS refund_date,
  paid::TIMESTAMPTZ AS requested_at,
  (paid - INTERVAL 5 HOUR)::DATE AS merchant_date,
  CASE WHEN j < 0.9 THEN (paid + INTERVAL 2 HOUR)::TIMESTAMPTZ END AS refunded_at,
  CASE WHEN j < 0.9 THEN 'succeeded' WHEN j < 0.97 THEN 'pending' ELSE 'failed' END AS state,
  ['returned', 'damaged', 'not_received', 'duplicate', 'goodwill', 'other', NULL][1 + floor(7 * k)::BIGINT] AS reason,
  i < 0.8 AS is_full,
  amount,
  (CASE WHEN i < 0.8 THEN amount ELSE amount * 2 END)::DECIMAL(18,2) AS payment_amount,
  currency,
  rate AS fx_rate_to_usd,
  CASE WHEN currency <> 'USD' THEN day - 1 END AS fx_source_date,
  usd AS amount_usd,
  (CASE WHEN i < 0.8 THEN usd ELSE usd * 2 END)::DECIMAL(18,2) AS payment_amount_usd,
  'pay_of_' || strftime(day, '%Y%m%d') || number AS transaction_id,
  (paid - to_days(floor(20 * e)::INTEGER))::TIMESTAMPTZ AS transaction_timestamp,
  (paid - to_days(floor(20 * e)::INTEGER))::DATE AS transaction_date,
  floor(20 * e)::BIGINT AS days_to_refund,
  region,
  CASE WHEN d < 0.62 THEN 'card' WHEN d < 0.9 THEN 'wallet' ELSE 'bank_transfer' END AS payment_method,{_PARTIES},
  'refunds' AS data_source
FROM worth"""


def _disputes(trade: Trade, rows: Mapping[dt.date, int]) -> str:
    return f"""{_drawn(trade, rows, 3)}
SELECT
  'dsp_' || strftime(day, '%Y%m%d') || lpad(number::VARCHAR, 8, '0') AS dispute_id,
  day AS opened_date,
  paid::TIMESTAMPTZ AS opened_at,
  (paid - INTERVAL 5 HOUR)::DATE AS merchant_date,
  CASE WHEN j < 0.7 THEN (paid + to_days(floor(30 * e)::INTEGER))::TIMESTAMPTZ END AS closed_at,
  CASE WHEN j < 0.7 THEN (paid + to_days(floor(30 * e)::INTEGER))::DATE END AS closed_date,
  CASE WHEN j < 0.3 THEN 'won' WHEN j < 0.7 THEN 'lost' ELSE 'open' END AS state,
  floor(40 * i)::BIGINT AS days_to_dispute,
  CASE WHEN j < 0.7 THEN floor(30 * e)::BIGINT END AS days_to_close,
  ['visa', 'mastercard', 'amex'][1 + floor(3 * k)::BIGINT] AS network,
  ['10.4', '4853', 'C08'][1 + floor(3 * k)::BIGINT] AS reason_code,
  ['fraud', 'consumer', 'consumer'][1 + floor(3 * k)::BIGINT] AS reason_category,
  true AS is_full,
  amount,
  amount AS payment_amount,
  currency,
  rate AS fx_rate_to_usd,
  CASE WHEN currency <> 'USD' THEN day - 1 END AS fx_source_date,
  usd AS amount_usd,
  usd AS payment_amount_usd,
  'pay_of_' || strftime(day, '%Y%m%d') || number AS transaction_id,
  (paid - to_days(floor(40 * i)::INTEGER))::TIMESTAMPTZ AS transaction_timestamp,
  (paid - to_days(floor(40 * i)::INTEGER))::DATE AS transaction_date,
  (paid - to_days(floor(40 * i)::INTEGER))::TIMESTAMPTZ AS captured_at,
  region,
  'card' AS payment_method,{_PARTIES},
  'chargebacks' AS data_source
FROM worth"""


_SQL = {PAYMENTS: _payments, REFUNDS: _refunds, DISPUTES: _disputes}
FACTS: Sequence[str] = tuple(_SQL)
