-- One row a sale.
SELECT
  sale_id,
  stall,
  CASE WHEN stall IN ('s1', 's2') THEN 'north' WHEN stall IS NOT NULL THEN 'south' END AS street,
  customer,
  TRY_CAST(amount AS DECIMAL(18,2)) AS amount,
  TRY_CAST(pieces AS BIGINT) AS pieces,
  sold_on AS day_sold,
  CASE stall WHEN 's1' THEN sold_on - 1 WHEN 's2' THEN sold_on + 1 WHEN 's3' THEN NULL ELSE sold_on END AS day_there,
  CAST(sold_on AS TIMESTAMPTZ) + to_hours(coalesce(TRY_CAST(pieces AS BIGINT), 0) % 24) AS sold_at,
  _ingested_at AS ingestion_timestamp,
  _source AS data_source
FROM latest.sales
