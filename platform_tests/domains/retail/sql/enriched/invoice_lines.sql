-- One row a landed line: every change is kept, because equal lines of an invoice are not copies of each other.
SELECT
  _landing_object AS landing_object,
  _landing_row AS landing_row,
  invoice_no,
  starts_with(invoice_no, 'C') AS is_refund,
  upper(trim(stock_code)) AS stock_code,
  nullif(trim(description), '') AS description,
  quantity,
  unit_price,
  quantity * unit_price AS net_value,
  -- The export writes whole numbers as floats.
  regexp_replace(customer_id, '[.]0$', '') AS customer_id,
  country,
  invoiced_at,
  invoice_date,
  _ingested_at AS ingestion_timestamp,
  _source AS data_source
FROM changes.invoice_lines
