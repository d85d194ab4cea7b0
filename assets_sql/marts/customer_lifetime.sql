-- One row a customer with payments, over all of them.
WITH totals AS (
  SELECT
    customer_id,
    count(*) AS transaction_count,
    count(*) FILTER (WHERE status = 'captured') AS captured_count,
    coalesce(sum(amount_usd), 0) AS gross_amount_usd,
    count(amount_usd) AS converted_count,
    coalesce(sum(amount_usd) FILTER (WHERE status = 'captured'), 0) AS lifetime_value_usd,
    min(transaction_date) AS first_transaction_date,
    max(transaction_date) AS last_transaction_date,
    max(ingestion_timestamp) AS ingestion_timestamp,
    string_agg(DISTINCT data_source, ',' ORDER BY data_source) AS data_source
  FROM marts.transactions_enriched
  GROUP BY customer_id
)

SELECT
  customer_id,
  transaction_count,
  captured_count,
  gross_amount_usd,
  lifetime_value_usd,
  -- Whole ten-thousandths of a dollar, because DuckDB divides decimals as floats.
  (2 * CAST(gross_amount_usd * 10000 AS HUGEINT) + converted_count)
    // nullif(2 * converted_count, 0) * 0.0001 AS average_amount_usd,
  first_transaction_date,
  last_transaction_date,
  last_transaction_date - first_transaction_date AS tenure_days,
  transaction_count / (date_diff('month', first_transaction_date, last_transaction_date) + 1) AS transactions_per_month,
  ingestion_timestamp,
  data_source
FROM totals
