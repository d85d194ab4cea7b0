-- One row per customer and day with a refund of a recent payment, where a large total was refunded so quickly within the window.
WITH parameters AS (
  SELECT
    72 AS max_hours,
    0.90 AS min_share,
    2 AS min_payments,
    1000.00 AS min_amount,
    7 AS window_days
),

quick AS (
  SELECT
    customer_id, transaction_id, transaction_date, transaction_timestamp, refund_date, amount, payment_amount, amount_usd,
    ingestion_timestamp, data_source
  FROM marts.refunds_enriched
  CROSS JOIN parameters
  WHERE state = 'succeeded' AND amount_usd IS NOT NULL AND refunded_at <= transaction_timestamp + to_hours(max_hours)
),

-- Each day with such a refund request ends a window.
days AS (
  SELECT DISTINCT customer_id, refund_date AS alert_date
  FROM quick
),

-- A payment may be refunded in parts.
payments AS (
  SELECT
    days.customer_id,
    days.alert_date,
    quick.transaction_id,
    min(quick.transaction_date) AS transaction_date,
    min(quick.transaction_timestamp) AS transaction_timestamp,
    sum(quick.amount) AS amount,
    max(quick.payment_amount) AS payment_amount,
    sum(quick.amount_usd) AS amount_usd,
    max(quick.ingestion_timestamp) AS ingestion_timestamp,
    min(quick.data_source) AS data_source
  FROM days
  CROSS JOIN parameters
  INNER JOIN quick
    ON quick.customer_id = days.customer_id
    AND quick.refund_date > days.alert_date - window_days
    AND quick.refund_date <= days.alert_date
  GROUP BY days.customer_id, days.alert_date, quick.transaction_id
),

found AS (
  SELECT
    customer_id,
    alert_date,
    count(*) AS transaction_count,
    sum(amount_usd) AS amount_usd,
    list(
      {'transaction_id': transaction_id, 'transaction_date': transaction_date, 'amount_usd': amount_usd}
      ORDER BY transaction_timestamp, transaction_id
    ) AS transactions,
    max(ingestion_timestamp) AS ingestion_timestamp,
    string_agg(DISTINCT data_source, ',' ORDER BY data_source) AS data_source
  FROM payments
  CROSS JOIN parameters
  WHERE amount >= min_share * payment_amount
  GROUP BY customer_id, alert_date
)

SELECT
  'rapid_in_and_out' AS rule,
  'high' AS severity,
  customer_id AS subject_id,
  alert_date,
  alert_date - (window_days - 1) AS window_start,
  amount_usd AS measured,
  min_amount AS held_against,
  transaction_count,
  amount_usd,
  transactions,
  CAST(parameters AS VARCHAR) AS parameters,
  ingestion_timestamp,
  data_source
FROM found
CROSS JOIN parameters
WHERE transaction_count >= min_payments AND amount_usd >= min_amount
