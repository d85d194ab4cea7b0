-- One row per customer and month with payments.
SELECT
  customer_id,
  CAST(date_trunc('month', transaction_date) AS DATE) AS month,
  count(*) AS transaction_count,
  count(amount_usd) AS with_dollars_count,
  count(*) FILTER (WHERE status = 'captured') AS kept_count,
  coalesce(sum(amount_usd), 0) AS gross_amount_usd,
  coalesce(sum(amount_usd) FILTER (WHERE status = 'captured'), 0) AS kept_amount_usd,
  min(transaction_date) AS first_transaction_date,
  max(transaction_date) AS last_transaction_date,
  max(ingestion_timestamp) AS ingestion_timestamp,
  array_to_string(list_sort(list(DISTINCT data_source)), ',') AS data_source
FROM marts.transactions_enriched
GROUP BY customer_id, date_trunc('month', transaction_date)
