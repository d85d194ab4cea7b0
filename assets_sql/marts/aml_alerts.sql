-- One row per alert: a rule, a customer and a day.
SELECT
  rule, severity, subject_id, alert_date, window_start, measured, held_against, transaction_count, amount_usd, transactions,
  parameters, ingestion_timestamp, data_source
FROM marts.aml_dormant_awakening
UNION ALL
SELECT
  rule, severity, subject_id, alert_date, window_start, measured, held_against, transaction_count, amount_usd, transactions,
  parameters, ingestion_timestamp, data_source
FROM marts.aml_high_risk_corridors
UNION ALL
SELECT
  rule, severity, subject_id, alert_date, window_start, measured, held_against, transaction_count, amount_usd, transactions,
  parameters, ingestion_timestamp, data_source
FROM marts.aml_rapid_in_and_out
UNION ALL
SELECT
  rule, severity, subject_id, alert_date, window_start, measured, held_against, transaction_count, amount_usd, transactions,
  parameters, ingestion_timestamp, data_source
FROM marts.aml_round_amounts
UNION ALL
SELECT
  rule, severity, subject_id, alert_date, window_start, measured, held_against, transaction_count, amount_usd, transactions,
  parameters, ingestion_timestamp, data_source
FROM marts.aml_structuring
UNION ALL
SELECT
  rule, severity, subject_id, alert_date, window_start, measured, held_against, transaction_count, amount_usd, transactions,
  parameters, ingestion_timestamp, data_source
FROM marts.aml_velocity
