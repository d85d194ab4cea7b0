-- One row a week, of the sales as they landed.
SELECT
  date_trunc('week', sold_on)::DATE AS week,
  count(*) AS sale_count,
  count(DISTINCT product) AS product_count,
  max(_ingested_at) AS ingestion_timestamp,
  min(_source) AS data_source
FROM latest.sales
GROUP BY ALL
