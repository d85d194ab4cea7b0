-- One row a year and product.
SELECT
  date_trunc('year', month)::DATE AS year,
  product,
  sum(sale_count)::BIGINT AS sale_count,
  sum(amount) AS amount,
  max(ingestion_timestamp) AS ingestion_timestamp,
  min(data_source) AS data_source
FROM marts.by_month
GROUP BY ALL
