-- One row a customer with payments, over all of them: years added up, so that no payment is read again.
WITH totals AS (
  SELECT
    customer_id,
    CAST(sum(payment_count) AS BIGINT) AS transaction_count,
    CAST(sum(kept_count) AS BIGINT) AS captured_count,
    sum(gross_value_usd) AS gross_amount_usd,
    CAST(sum(average_ticket_usd_rows) AS BIGINT) AS converted_count,
    sum(kept_value_usd) AS lifetime_value_usd,
    min(first_payment_date) AS first_transaction_date,
    max(last_payment_date) AS last_transaction_date,
    max(ingestion_timestamp) AS ingestion_timestamp,
    string_agg(DISTINCT data_source, ',' ORDER BY data_source) AS data_source
  FROM marts.customer_year
  -- Of some years a customer has nothing but refunds or disputes.
  WHERE payment_count > 0
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
