-- One row a stall and day.
SELECT
  coalesce(stall, 'none') AS stall,
  day_sold,
  max(sold_at) AS closed_at,
  count(*) AS sale_count,
  max(ingestion_timestamp) AS ingestion_timestamp,
  min(data_source) AS data_source
FROM enriched.sales
GROUP BY coalesce(stall, 'none'), day_sold
