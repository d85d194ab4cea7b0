-- One row a customer, over all days.
SELECT customer_id, count(*) AS order_count, sum(amount) AS amount, max(ingestion_timestamp) AS ingestion_timestamp,
  'orders' AS data_source
FROM enriched.orders
GROUP BY customer_id
