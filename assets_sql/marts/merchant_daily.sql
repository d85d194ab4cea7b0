-- One row a merchant and day with payments.
WITH payments AS (
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
    array_to_string(list_sort(list(DISTINCT data_source)), ',') AS data_source
  FROM marts.transactions_enriched
  GROUP BY merchant_id, transaction_date
),

visits AS (
  SELECT DISTINCT merchant_id, customer_id, transaction_date
  FROM marts.transactions_enriched
),

-- The 90 days before a day are all that it may depend on: its partition is given no more.
-- A search for an earlier payment reads them as a stream; comparing neighbours (lag) would sort all of them for one day.
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
    count(*) FILTER (WHERE is_returning) AS returning_customers
  FROM visitors
  GROUP BY merchant_id, transaction_date
),

-- Laid side by side by a union and not by a join, through which the asked days would not reach both sides.
parts AS (
  SELECT
    merchant_id, transaction_date, merchant_name, transaction_count, captured_count, refund_count, chargeback_count,
    settled_count, gross_amount_usd, converted_count, revenue_usd, ingestion_timestamp, data_source,
    NULL AS unique_customers, NULL AS returning_customers
  FROM payments
  UNION ALL
  SELECT
    merchant_id, transaction_date, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    unique_customers, returning_customers
  FROM customers
),

days AS (
  SELECT
    merchant_id,
    transaction_date,
    max(merchant_name) AS merchant_name,
    max(transaction_count) AS transaction_count,
    max(captured_count) AS captured_count,
    max(refund_count) AS refund_count,
    max(chargeback_count) AS chargeback_count,
    max(settled_count) AS settled_count,
    max(gross_amount_usd) AS gross_amount_usd,
    max(converted_count) AS converted_count,
    max(revenue_usd) AS revenue_usd,
    max(unique_customers) AS unique_customers,
    max(returning_customers) AS returning_customers,
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
  captured_count,
  refund_count,
  chargeback_count,
  settled_count,
  gross_amount_usd,
  revenue_usd,
  -- Whole ten-thousandths of a dollar, because DuckDB divides decimals as floats.
  (2 * CAST(gross_amount_usd * 10000 AS HUGEINT) + converted_count)
    // nullif(2 * converted_count, 0) * 0.0001 AS average_amount_usd,
  refund_count / nullif(settled_count, 0) AS refund_rate,
  chargeback_count / nullif(settled_count, 0) AS chargeback_rate,
  unique_customers,
  unique_customers - returning_customers AS new_customers,
  returning_customers,
  ingestion_timestamp,
  data_source
FROM days
