-- The lines of the archive. Reads `valued`: the archive's payments.
SELECT no - 1 AS line_no, concat(
  'LEG-', right(CAST(10000000 + no AS VARCHAR), 7), ',', identifier('cust_', customer), ',', identifier('mer_', merchant), ',',
  strftime(make_date(CAST(paid_on AS INTEGER)), '%m/%d/%Y'), ',',
  -- Quoted, because the thousands separator is also the field separator.
  '"', dollar_amount(cents), '",', currency, ',', status, ',', region, ',', CASE WHEN is_recurring THEN 'Y' ELSE 'N' END
) AS line
FROM valued
