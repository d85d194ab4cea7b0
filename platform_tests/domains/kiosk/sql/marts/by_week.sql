-- One row a week and product.
SELECT
  date_trunc('week', day)::DATE AS week,
  product,
  sum(sale_count)::BIGINT AS sale_count,
  sum(amount) AS amount,
  max(ingestion_timestamp) AS ingestion_timestamp,
  min(data_source) AS data_source
FROM marts.by_day
GROUP BY ALL
