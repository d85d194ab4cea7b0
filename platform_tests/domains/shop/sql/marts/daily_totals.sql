-- One row a day and level.
SELECT
  order_day,
  coalesce(customer_level, 'none') AS customer_level,
  count(*) AS order_count,
  sum(amount) AS amount,
  max(ingestion_timestamp) AS ingestion_timestamp,
  'orders' AS data_source
FROM enriched.orders
GROUP BY ALL
