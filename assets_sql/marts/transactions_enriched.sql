-- One row per payment, joined with its customer, merchant, category, risk and the day's exchange rate.
-- Every join finds at most one row, so that no payment is lost or counted twice.
-- A merchant's first span extends back indefinitely, and each holds until the next begins.
-- Percentages are stored as whole millionths, dollars as cents.
WITH merchant AS (
  SELECT
    merchant_id, merchant_name, country, region, mcc, partner, time_zone,
    CAST(fee_percent * 10000 AS BIGINT) AS fee_share,
    CAST(coalesce(fixed_fee_usd, 0) * 100 AS BIGINT) AS fixed_fee,
    CAST(cost_percent * 10000 AS BIGINT) AS cost_share,
    CASE WHEN row_number() OVER by_time = 1 THEN CAST('-infinity' AS TIMESTAMPTZ) ELSE valid_from END AS held_from,
    coalesce(lead(valid_from) OVER by_time, CAST('infinity' AS TIMESTAMPTZ)) AS held_to
  FROM enriched.merchants
  WINDOW by_time AS (PARTITION BY merchant_id ORDER BY valid_from)
),

-- The time-zone library is called once per zone and half hour, not for every payment: clocks change on the half hour.
half_hours AS (
  SELECT DISTINCT epoch_us(transaction_timestamp) // 1800000000 AS half_hour
  FROM enriched.transactions
),

zones AS (
  SELECT DISTINCT time_zone
  FROM enriched.merchants
  WHERE time_zone IS NOT NULL
),

clock AS (
  SELECT
    zones.time_zone,
    half_hours.half_hour,
    epoch_us(timezone(zones.time_zone, make_timestamptz(half_hours.half_hour * 1800000000)))
    - half_hours.half_hour * 1800000000 AS ahead_us
  FROM zones
  CROSS JOIN half_hours
),

joined AS (
  SELECT
    payment.transaction_id, payment.transaction_date, payment.transaction_timestamp, payment.status,
    payment.failure_reason, payment.region, payment.payment_method, payment.is_recurring, payment.sca_method,
    payment.amount, payment.currency, payment.customer_id, payment.merchant_id, payment.ingestion_timestamp,
    payment.data_source,
    epoch_us(payment.transaction_timestamp) AS paid_us,
    CAST(payment.amount * 100 AS BIGINT) AS cents,
    payment.status IN ('captured', 'refunded', 'chargeback') AS is_settled,
    -- A dollar is worth a dollar on every day.
    CASE WHEN payment.currency = 'USD' THEN 100000000 ELSE rates.dollars END AS dollars,
    CASE WHEN payment.currency = 'USD' THEN 100000000 ELSE rates.units END AS units,
    rates.rate_to_usd, rates.source_date,
    customer.billing_country AS customer_country, customer.billing_region AS customer_region,
    customer.status AS customer_status,
    risk.score AS risk_score, risk.band AS risk_band,
    merchant.merchant_name, merchant.country AS merchant_country, merchant.region AS merchant_region, merchant.mcc,
    merchant.partner, merchant.time_zone, merchant.fee_share, merchant.fixed_fee, merchant.cost_share,
    category.description AS category
  FROM enriched.transactions AS payment
  LEFT JOIN enriched.dollar_rates AS rates ON rates.rate_date = payment.transaction_date AND rates.currency = payment.currency
  LEFT JOIN enriched.customers AS customer ON customer.customer_id = payment.customer_id
  LEFT JOIN enriched.customer_risk AS risk ON risk.customer_id = payment.customer_id
  LEFT JOIN merchant
    ON merchant.merchant_id = payment.merchant_id
    AND payment.transaction_timestamp >= merchant.held_from
    AND payment.transaction_timestamp < merchant.held_to
  LEFT JOIN enriched.merchant_categories AS category ON category.mcc = merchant.mcc
),

-- In cents. Half the divisor is added before a division: rounded once, half away from zero.
charged AS (
  SELECT
    *,
    CASE
      WHEN NOT is_settled THEN 0
      ELSE (2 * cents * fee_share + 1000000) // 2000000
        + CASE WHEN fixed_fee = 0 THEN 0 ELSE (2 * fixed_fee * units + dollars) // (2 * dollars) END
    END AS fee,
    CASE WHEN NOT is_settled THEN 0 ELSE (2 * cents * cost_share + 1000000) // 2000000 END AS cost
  FROM joined
),

converted AS (
  SELECT
    *,
    (2 * cents * dollars + units) // (2 * units) AS cents_usd,
    CASE WHEN fee = 0 THEN 0 ELSE (2 * fee * dollars + units) // (2 * units) END AS fee_usd,
    CASE WHEN cost = 0 THEN 0 ELSE (2 * cost * dollars + units) // (2 * units) END AS cost_usd
  FROM charged
)

SELECT
  converted.transaction_id,
  converted.transaction_date,
  converted.transaction_timestamp,
  -- A payment without a time is dated midnight, and its date is the only one known.
  CASE
    WHEN converted.paid_us % 86400000000 = 0 THEN converted.transaction_date
    ELSE CAST(make_timestamp(converted.paid_us + clock.ahead_us) AS DATE)
  END AS merchant_date,
  CASE
    WHEN converted.paid_us % 86400000000 = 0 THEN NULL
    ELSE hour(make_timestamp(converted.paid_us + clock.ahead_us))
  END AS merchant_hour,
  converted.status,
  converted.failure_reason,
  CASE
    WHEN converted.status <> 'failed' THEN NULL
    WHEN converted.failure_reason IS NULL THEN 'unknown'
    WHEN converted.failure_reason = 'insufficient_funds' THEN 'funds'
    WHEN converted.failure_reason = 'expired_card' THEN 'card'
    WHEN converted.failure_reason = 'do_not_honor' THEN 'issuer'
    WHEN converted.failure_reason = 'fraud_suspected' THEN 'fraud'
    WHEN converted.failure_reason = 'processing_error' THEN 'technical'
    ELSE 'other'
  END AS decline_group,
  converted.region,
  converted.payment_method,
  converted.is_recurring,
  converted.sca_method,
  converted.amount,
  converted.currency,
  CASE WHEN converted.currency = 'USD' THEN 1 ELSE converted.rate_to_usd END AS fx_rate_to_usd,
  converted.source_date AS fx_source_date,
  CAST(converted.cents_usd AS DECIMAL(18,0)) * 0.01 AS amount_usd,
  CAST(converted.fee AS DECIMAL(18,0)) * 0.01 AS fee_amount,
  CAST(converted.fee_usd AS DECIMAL(18,0)) * 0.01 AS fee_usd,
  CAST(converted.cost AS DECIMAL(18,0)) * 0.01 AS cost_amount,
  CAST(converted.cost_usd AS DECIMAL(18,0)) * 0.01 AS cost_usd,
  CAST(converted.fee - converted.cost AS DECIMAL(18,0)) * 0.01 AS net_revenue,
  CAST(converted.fee_usd - converted.cost_usd AS DECIMAL(18,0)) * 0.01 AS net_revenue_usd,
  converted.customer_id,
  converted.customer_country,
  converted.customer_region,
  converted.customer_status,
  converted.risk_score,
  converted.risk_band,
  converted.merchant_id,
  converted.merchant_name,
  converted.merchant_country,
  converted.merchant_region,
  converted.mcc,
  converted.category,
  converted.partner,
  converted.ingestion_timestamp,
  converted.data_source
FROM converted
LEFT JOIN clock ON clock.time_zone = converted.time_zone AND clock.half_hour = converted.paid_us // 1800000000
