-- One row per merchant and day with payments.
WITH payments AS (
  SELECT
    merchant_id,
    transaction_date,
    max(merchant_name) AS merchant_name,
    count(*) AS transaction_count,
    count(*) FILTER (WHERE status = 'captured') AS kept_count,
    count(*) FILTER (WHERE status = 'refunded') AS refunded_count,
    count(*) FILTER (WHERE status = 'chargeback') AS chargeback_count,
    count(*) FILTER (WHERE status IN ('captured', 'refunded', 'chargeback')) AS settled_count,
    coalesce(sum(amount_usd), 0) AS gross_amount_usd,
    count(amount_usd) AS with_dollars_count,
    coalesce(sum(amount_usd) FILTER (WHERE status = 'captured'), 0) AS revenue_usd,
    max(ingestion_timestamp) AS ingestion_timestamp,
    array_to_string(list_sort(list(DISTINCT data_source)), ',') AS data_source
  FROM marts.transactions_enriched
  GROUP BY merchant_id, transaction_date
),

visits AS (
  SELECT DISTINCT merchant_id, customer_id, transaction_date
  FROM marts.transactions_enriched
),

-- A day may depend on the 90 days before it and no more: its partition is given nothing else.
-- A semi-join on earlier payments streams them; comparing neighbours (lag) would sort all of them for one day.
visitors AS (
  SELECT
    merchant_id,
    transaction_date,
    EXISTS (
      SELECT 1
      FROM marts.transactions_enriched AS earlier
      WHERE earlier.merchant_id = visits.merchant_id
        AND earlier.customer_id = visits.customer_id
        AND earlier.transaction_date >= visits.transaction_date - 90
        AND earlier.transaction_date < visits.transaction_date
    ) AS is_returning
  FROM visits
),

customers AS (
  SELECT
    merchant_id,
    transaction_date,
    count(*) AS unique_customers,
    count(*) FILTER (WHERE is_returning) AS returning_customers_90d
  FROM visitors
  GROUP BY merchant_id, transaction_date
),

-- Combined by a union rather than a join, through which the filter on days would not reach both sides.
parts AS (
  SELECT
    merchant_id, transaction_date, merchant_name, transaction_count, kept_count, refunded_count, chargeback_count,
    settled_count, gross_amount_usd, with_dollars_count, revenue_usd, ingestion_timestamp, data_source,
    NULL AS unique_customers, NULL AS returning_customers_90d
  FROM payments
  UNION ALL
  SELECT
    merchant_id, transaction_date, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    unique_customers, returning_customers_90d
  FROM customers
),

days AS (
  SELECT
    merchant_id,
    transaction_date,
    max(merchant_name) AS merchant_name,
    max(transaction_count) AS transaction_count,
    max(kept_count) AS kept_count,
    max(refunded_count) AS refunded_count,
    max(chargeback_count) AS chargeback_count,
    max(settled_count) AS settled_count,
    max(gross_amount_usd) AS gross_amount_usd,
    max(with_dollars_count) AS with_dollars_count,
    max(revenue_usd) AS revenue_usd,
    max(unique_customers) AS unique_customers,
    max(returning_customers_90d) AS returning_customers_90d,
    max(ingestion_timestamp) AS ingestion_timestamp,
    max(data_source) AS data_source
  FROM parts
  GROUP BY merchant_id, transaction_date
)

SELECT
  merchant_id,
  transaction_date,
  merchant_name,
  transaction_count,
  kept_count,
  refunded_count,
  chargeback_count,
  settled_count,
  gross_amount_usd,
  revenue_usd,
  -- Whole ten-thousandths of a dollar, because DuckDB divides decimals as floats.
  (2 * CAST(gross_amount_usd * 10000 AS HUGEINT) + with_dollars_count)
    // nullif(2 * with_dollars_count, 0) * 0.0001 AS average_amount_usd,
  refunded_count / nullif(settled_count, 0) AS refunded_rate,
  chargeback_count / nullif(settled_count, 0) AS chargeback_rate,
  unique_customers,
  unique_customers - returning_customers_90d AS new_customers_90d,
  returning_customers_90d,
  ingestion_timestamp,
  data_source
FROM days
