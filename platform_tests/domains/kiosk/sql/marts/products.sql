-- One row a product, over all years.
SELECT
  product,
  sum(sale_count)::BIGINT AS sale_count,
  sum(amount) AS amount,
  max(ingestion_timestamp) AS ingestion_timestamp,
  min(data_source) AS data_source
FROM marts.by_year
GROUP BY product
