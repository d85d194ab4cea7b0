-- One row a day and product.
SELECT
  day,
  product,
  count(*) AS sale_count,
  sum(amount) AS amount,
  max(ingestion_timestamp) AS ingestion_timestamp,
  min(data_source) AS data_source
FROM enriched.sales
GROUP BY day, product
