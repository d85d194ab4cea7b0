-- One row a day and customer, with the seven days up to it.
WITH days AS (
  SELECT order_day, customer_id, count(*) AS order_count, sum(amount) AS amount, max(ingestion_timestamp) AS newest
  FROM enriched.orders
  GROUP BY ALL
)
SELECT
  order_day,
  customer_id,
  order_count,
  sum(amount) OVER (PARTITION BY customer_id ORDER BY order_day RANGE BETWEEN INTERVAL 6 DAYS PRECEDING AND CURRENT ROW)
    AS amount_of_week,
  newest AS ingestion_timestamp,
  'orders' AS data_source
FROM days
