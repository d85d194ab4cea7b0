-- One row a sale.
SELECT
  sale.sale_id,
  sale.stall,
  sale.coin,
  CAST(TRY_CAST(sale.pieces AS BIGINT) * TRY_CAST(coin.worth AS DECIMAL(9,2)) AS DECIMAL(18,2)) AS amount,
  sale.sold_on AS day_sold,
  CAST(sale.sold_on AS TIMESTAMPTZ) + to_hours(TRY_CAST(sale.hour AS BIGINT)) AS sold_at,
  sale._ingested_at AS ingestion_timestamp,
  sale._source AS data_source
FROM latest.sales AS sale
LEFT JOIN latest.coins AS coin ON coin.coin = sale.coin
