-- One row a merchant and day with payments.
WITH totals AS (
  SELECT
    merchant_id,
    transaction_date,
    max(merchant_name) AS merchant_name,
    count(*) AS transaction_count,
    count(*) FILTER (WHERE status = 'captured') AS captured_count,
    count(*) FILTER (WHERE status = 'refunded') AS refund_count,
    count(*) FILTER (WHERE status = 'chargeback') AS chargeback_count,
    count(*) FILTER (WHERE status IN ('captured', 'refunded', 'chargeback')) AS settled_count,
    coalesce(sum(amount_usd), 0) AS gross_amount_usd,
    count(amount_usd) AS converted_count,
    coalesce(sum(amount_usd) FILTER (WHERE status = 'captured'), 0) AS revenue_usd,
    max(ingestion_timestamp) AS ingestion_timestamp,
    string_agg(DISTINCT data_source, ',' ORDER BY data_source) AS data_source
  FROM marts.transactions_enriched
  GROUP BY merchant_id, transaction_date
),

visits AS (
  SELECT DISTINCT merchant_id, customer_id, transaction_date
  FROM marts.transactions_enriched
),

-- The 90 days before a day are all that it may depend on: its partition is given no more.
visitors AS (
  SELECT
    merchant_id,
    transaction_date,
    coalesce(
      transaction_date
        - lag(transaction_date) OVER (PARTITION BY merchant_id, customer_id ORDER BY transaction_date) <= 90,
      false
    ) AS is_returning
  FROM visits
),

customers AS (
  SELECT
    merchant_id,
    transaction_date,
    count(*) AS unique_customers,
    count(*) FILTER (WHERE is_returning) AS returning_customers
  FROM visitors
  GROUP BY merchant_id, transaction_date
)

SELECT
  totals.merchant_id,
  totals.transaction_date,
  totals.merchant_name,
  totals.transaction_count,
  totals.captured_count,
  totals.refund_count,
  totals.chargeback_count,
  totals.settled_count,
  totals.gross_amount_usd,
  totals.revenue_usd,
  -- Whole ten-thousandths of a dollar, because DuckDB divides decimals as floats.
  (2 * CAST(totals.gross_amount_usd * 10000 AS HUGEINT) + totals.converted_count)
    // nullif(2 * totals.converted_count, 0) * 0.0001 AS average_amount_usd,
  totals.refund_count / nullif(totals.settled_count, 0) AS refund_rate,
  totals.chargeback_count / nullif(totals.settled_count, 0) AS chargeback_rate,
  customers.unique_customers,
  customers.unique_customers - customers.returning_customers AS new_customers,
  customers.returning_customers,
  totals.ingestion_timestamp,
  totals.data_source
FROM totals
INNER JOIN customers
  ON customers.merchant_id = totals.merchant_id AND customers.transaction_date = totals.transaction_date
