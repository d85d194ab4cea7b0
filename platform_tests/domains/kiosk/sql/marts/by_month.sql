-- One row a month and product.
SELECT
  date_trunc('month', day)::DATE AS month,
  product,
  sum(sale_count)::BIGINT AS sale_count,
  sum(amount) AS amount,
  max(ingestion_timestamp) AS ingestion_timestamp,
  min(data_source) AS data_source
FROM marts.by_day
GROUP BY ALL
