-- One row a day and country.
SELECT
  invoice_date,
  country,
  count(*) AS line_count,
  count(*) FILTER (WHERE is_refund) AS refund_line_count,
  count(*) FILTER (WHERE customer_id IS NULL) AS anonymous_line_count,
  count(DISTINCT invoice_no) AS invoice_count,
  coalesce(sum(net_value) FILTER (WHERE NOT is_refund), 0) AS gross_value,
  coalesce(-sum(net_value) FILTER (WHERE is_refund), 0) AS refund_value,
  sum(net_value) AS net_value,
  max(ingestion_timestamp) AS ingestion_timestamp,
  min(data_source) AS data_source
FROM enriched.invoice_lines
GROUP BY invoice_date, country
