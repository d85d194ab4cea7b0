-- One row per dispute, joined with its customer, merchant, category, risk and the day's exchange rate.
-- Every join finds at most one row, so that no dispute is lost or counted twice.
-- A merchant's first span extends back indefinitely, and each holds until the next begins.
WITH merchant AS (
  SELECT
    merchant_id, merchant_name, country, region, mcc, partner, time_zone,
    CASE WHEN row_number() OVER by_time = 1 THEN CAST('-infinity' AS TIMESTAMPTZ) ELSE valid_from END AS held_from,
    coalesce(lead(valid_from) OVER by_time, CAST('infinity' AS TIMESTAMPTZ)) AS held_to
  FROM enriched.merchants
  WINDOW by_time AS (PARTITION BY merchant_id ORDER BY valid_from)
)

SELECT
  dispute.dispute_id,
  dispute.opened_date,
  dispute.opened_at,
  -- A dispute opened at an unknown time is dated midnight, and its date is the only one known.
  CASE
    WHEN epoch_us(dispute.opened_at) % 86400000000 = 0 THEN dispute.opened_date
    ELSE CAST(timezone(merchant.time_zone, dispute.opened_at) AS DATE)
  END AS merchant_date,
  dispute.closed_at,
  CAST(make_timestamp(epoch_us(dispute.closed_at)) AS DATE) AS closed_date,
  dispute.state,
  dispute.opened_date - CAST(make_timestamp(epoch_us(dispute.captured_at)) AS DATE) AS days_to_dispute,
  CAST(make_timestamp(epoch_us(dispute.closed_at)) AS DATE) - dispute.opened_date AS days_to_close,
  dispute.network,
  dispute.reason_code,
  dispute.reason_category,
  dispute.amount = dispute.payment_amount AS is_full,
  dispute.amount,
  dispute.payment_amount,
  dispute.currency,
  CASE WHEN dispute.currency = 'USD' THEN 1 ELSE rates.rate_to_usd END AS fx_rate_to_usd,
  rates.source_date AS fx_source_date,
  -- In cents, with half the divisor added before the division: rounded once, half away from zero.
  CASE
    WHEN dispute.currency = 'USD' THEN dispute.amount
    ELSE CAST(
      (2 * CAST(dispute.amount * 100 AS BIGINT) * rates.dollars + rates.units) // (2 * rates.units) AS DECIMAL(18,0)
    ) * 0.01
  END AS amount_usd,
  CASE
    WHEN dispute.currency = 'USD' THEN dispute.payment_amount
    ELSE CAST(
      (2 * CAST(dispute.payment_amount * 100 AS BIGINT) * rates.dollars + rates.units) // (2 * rates.units) AS DECIMAL(18,0)
    ) * 0.01
  END AS payment_amount_usd,
  dispute.transaction_id,
  dispute.paid_at AS transaction_timestamp,
  CAST(make_timestamp(epoch_us(dispute.paid_at)) AS DATE) AS transaction_date,
  dispute.captured_at,
  dispute.region,
  dispute.payment_method,
  dispute.customer_id,
  customer.billing_country AS customer_country,
  customer.billing_region AS customer_region,
  customer.status AS customer_status,
  risk.score AS risk_score,
  risk.band AS risk_band,
  dispute.merchant_id,
  merchant.merchant_name,
  merchant.country AS merchant_country,
  merchant.region AS merchant_region,
  merchant.mcc,
  category.description AS category,
  merchant.partner,
  dispute.ingestion_timestamp,
  dispute.data_source
FROM enriched.chargebacks AS dispute
LEFT JOIN enriched.dollar_rates AS rates ON rates.rate_date = dispute.opened_date AND rates.currency = dispute.currency
LEFT JOIN enriched.customers AS customer ON customer.customer_id = dispute.customer_id
LEFT JOIN enriched.customer_risk AS risk ON risk.customer_id = dispute.customer_id
LEFT JOIN merchant
  ON merchant.merchant_id = dispute.merchant_id
  AND dispute.paid_at >= merchant.held_from
  AND dispute.paid_at < merchant.held_to
LEFT JOIN enriched.merchant_categories AS category ON category.mcc = merchant.mcc
