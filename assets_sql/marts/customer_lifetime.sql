-- One row per customer with payments, added up from their months: for a late payment only its own month is read again.
WITH totals AS (
  SELECT
    customer_id,
    sum(transaction_count) AS transaction_count,
    sum(with_dollars_count) AS with_dollars_count,
    sum(kept_count) AS kept_count,
    sum(gross_amount_usd) AS gross_amount_usd,
    sum(kept_amount_usd) AS lifetime_value_usd,
    min(first_transaction_date) AS first_transaction_date,
    max(last_transaction_date) AS last_transaction_date,
    max(ingestion_timestamp) AS ingestion_timestamp,
    string_agg(DISTINCT data_source, ',') AS data_sources
  FROM marts.customer_spending
  GROUP BY customer_id
)

SELECT
  customer_id,
  transaction_count,
  kept_count,
  gross_amount_usd,
  lifetime_value_usd,
  -- Whole ten-thousandths of a dollar, because DuckDB divides decimals as floats.
  (2 * CAST(gross_amount_usd * 10000 AS HUGEINT) + with_dollars_count)
    // nullif(2 * with_dollars_count, 0) * 0.0001 AS average_amount_usd,
  first_transaction_date,
  last_transaction_date,
  last_transaction_date - first_transaction_date AS tenure_days,
  transaction_count / (date_diff('month', first_transaction_date, last_transaction_date) + 1) AS transactions_per_month,
  ingestion_timestamp,
  array_to_string(list_sort(list_distinct(string_split(data_sources, ','))), ',') AS data_source
FROM totals
