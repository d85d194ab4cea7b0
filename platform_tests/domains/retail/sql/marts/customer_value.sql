-- One row a customer, over all days.
SELECT
  coalesce(customer_id, 'unknown') AS customer_id,
  count(*) AS line_count,
  count(DISTINCT invoice_no) AS invoice_count,
  sum(net_value) AS net_value,
  min(invoice_date) AS first_invoice_date,
  max(invoice_date) AS last_invoice_date,
  max(ingestion_timestamp) AS ingestion_timestamp,
  min(data_source) AS data_source
FROM enriched.invoice_lines
GROUP BY coalesce(customer_id, 'unknown')
