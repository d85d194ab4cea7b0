-- One row a sale.
SELECT
  sale_id,
  product,
  TRY_CAST(amount AS DECIMAL(18, 2)) AS amount,
  sold_on AS day,
  _ingested_at AS ingestion_timestamp,
  _source AS data_source
FROM latest.sales
