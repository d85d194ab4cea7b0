-- One row an order.
SELECT
  o.order_id,
  o.customer_id,
  c.level AS customer_level,
  TRY_CAST(o.amount AS DECIMAL(18, 2)) AS amount,
  'n' || o.amount AS note,
  o.ordered_at::DATE AS order_day,
  o._ingested_at AS ingestion_timestamp,
  o._source AS data_source
FROM latest.orders AS o
LEFT JOIN enriched.customers AS c ON c.customer_id = o.customer_id
