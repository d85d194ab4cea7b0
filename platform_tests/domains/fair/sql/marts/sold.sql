-- One row a sale, with where it was.
SELECT
  sale.sale_id,
  sale.stall,
  stall.street,
  stall.keeper,
  beside.in_street,
  sale.amount,
  sale.day_sold,
  sale.sold_at,
  sale.ingestion_timestamp,
  sale.data_source
FROM enriched.sales AS sale
LEFT JOIN enriched.stalls AS stall ON stall.stall = sale.stall
LEFT JOIN enriched.neighbours AS beside ON beside.stall = sale.stall
