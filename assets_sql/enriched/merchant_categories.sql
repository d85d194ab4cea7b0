-- One row per merchant category code.
SELECT
  CASE WHEN length(trim(mcc)) < 4 THEN lpad(trim(mcc), 4, '0') ELSE trim(mcc) END AS mcc,
  trim(edited_description) AS description,
  trim(combined_description) AS combined_description,
  trim(usda_description) AS usda_description,
  trim(irs_description) AS irs_description,
  -- In the list, the section of the tax code follows a 'No'.
  CASE
    WHEN starts_with(lower(trim(irs_reportable)), 'yes') THEN true
    WHEN starts_with(lower(trim(irs_reportable)), 'no') THEN false
  END AS is_irs_reportable,
  _ingested_at AS ingestion_timestamp,
  _source AS data_source
FROM latest.merchant_categories
