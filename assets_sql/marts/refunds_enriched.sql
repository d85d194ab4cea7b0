-- One row per refund, joined with its customer, merchant, category, risk and the day's exchange rate.
-- Every join finds at most one row, so that no refund is lost or counted twice.
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
  refund.refund_id,
  refund.refund_date,
  refund.requested_at,
  -- A refund requested at an unknown time is dated midnight, and its date is the only one known.
  CASE
    WHEN epoch_us(refund.requested_at) % 86400000000 = 0 THEN refund.refund_date
    ELSE CAST(timezone(merchant.time_zone, refund.requested_at) AS DATE)
  END AS merchant_date,
  refund.refunded_at,
  refund.state,
  refund.reason,
  refund.amount = refund.payment_amount AS is_full,
  refund.amount,
  refund.payment_amount,
  refund.currency,
  CASE WHEN refund.currency = 'USD' THEN 1 ELSE rates.rate_to_usd END AS fx_rate_to_usd,
  rates.source_date AS fx_source_date,
  -- In cents, with half the divisor added before the division: rounded once, half away from zero.
  CASE
    WHEN refund.currency = 'USD' THEN refund.amount
    ELSE CAST(
      (2 * CAST(refund.amount * 100 AS BIGINT) * rates.dollars + rates.units) // (2 * rates.units) AS DECIMAL(18,0)
    ) * 0.01
  END AS amount_usd,
  CASE
    WHEN refund.currency = 'USD' THEN refund.payment_amount
    ELSE CAST(
      (2 * CAST(refund.payment_amount * 100 AS BIGINT) * rates.dollars + rates.units) // (2 * rates.units) AS DECIMAL(18,0)
    ) * 0.01
  END AS payment_amount_usd,
  refund.transaction_id,
  refund.paid_at AS transaction_timestamp,
  CAST(make_timestamp(epoch_us(refund.paid_at)) AS DATE) AS transaction_date,
  refund.refund_date - CAST(make_timestamp(epoch_us(refund.paid_at)) AS DATE) AS days_to_refund,
  refund.region,
  refund.payment_method,
  refund.customer_id,
  customer.billing_country AS customer_country,
  customer.billing_region AS customer_region,
  customer.status AS customer_status,
  risk.score AS risk_score,
  risk.band AS risk_band,
  refund.merchant_id,
  merchant.merchant_name,
  merchant.country AS merchant_country,
  merchant.region AS merchant_region,
  merchant.mcc,
  category.description AS category,
  merchant.partner,
  refund.ingestion_timestamp,
  refund.data_source
FROM enriched.refunds AS refund
LEFT JOIN enriched.dollar_rates AS rates ON rates.rate_date = refund.refund_date AND rates.currency = refund.currency
LEFT JOIN enriched.customers AS customer ON customer.customer_id = refund.customer_id
LEFT JOIN enriched.customer_risk AS risk ON risk.customer_id = refund.customer_id
LEFT JOIN merchant
  ON merchant.merchant_id = refund.merchant_id
  AND refund.paid_at >= merchant.held_from
  AND refund.paid_at < merchant.held_to
LEFT JOIN enriched.merchant_categories AS category ON category.mcc = merchant.mcc
