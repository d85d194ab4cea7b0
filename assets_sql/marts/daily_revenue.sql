-- One row per day, region and currency.
SELECT
  transaction_date,
  region,
  currency,
  count(*) AS transaction_count,
  count(*) FILTER (WHERE status = 'authorized') AS authorized_count,
  count(*) FILTER (WHERE status = 'captured') AS kept_count,
  count(*) FILTER (WHERE status = 'refunded') AS refunded_count,
  count(*) FILTER (WHERE status = 'chargeback') AS chargeback_count,
  count(*) FILTER (WHERE status = 'failed') AS failed_count,
  sum(amount) AS gross_amount,
  coalesce(sum(amount) FILTER (WHERE status = 'captured'), 0) AS revenue,
  coalesce(sum(amount) FILTER (WHERE status = 'authorized'), 0) AS authorized_amount,
  coalesce(sum(amount) FILTER (WHERE status = 'refunded'), 0) AS refunded_amount,
  coalesce(sum(amount) FILTER (WHERE status = 'chargeback'), 0) AS chargeback_amount,
  coalesce(sum(amount) FILTER (WHERE status = 'failed'), 0) AS failed_amount,
  coalesce(sum(amount_usd), 0) AS gross_amount_usd,
  coalesce(sum(amount_usd) FILTER (WHERE status = 'captured'), 0) AS revenue_usd,
  max(ingestion_timestamp) AS ingestion_timestamp,
  string_agg(DISTINCT data_source, ',' ORDER BY data_source) AS data_source
FROM marts.transactions_enriched
GROUP BY transaction_date, region, currency
