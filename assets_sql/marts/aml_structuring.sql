-- One row per customer and day with payments just under the threshold that together, within the window, reach it.
WITH parameters AS (
  SELECT
    10000.00 AS threshold,
    0.80 AS near_share,
    3 AS min_payments,
    7 AS window_days
),

near AS (
  SELECT customer_id, transaction_id, transaction_date, transaction_timestamp, amount_usd, ingestion_timestamp, data_source
  FROM marts.transactions_enriched
  CROSS JOIN parameters
  WHERE status <> 'failed' AND amount_usd >= near_share * threshold AND amount_usd < threshold
),

-- Each day with such a payment ends a window.
days AS (
  SELECT DISTINCT customer_id, transaction_date AS alert_date
  FROM near
),

found AS (
  SELECT
    days.customer_id,
    days.alert_date,
    count(*) AS transaction_count,
    sum(near.amount_usd) AS amount_usd,
    list(
      {'transaction_id': near.transaction_id, 'transaction_date': near.transaction_date, 'amount_usd': near.amount_usd}
      ORDER BY near.transaction_timestamp, near.transaction_id
    ) AS transactions,
    max(near.ingestion_timestamp) AS ingestion_timestamp,
    string_agg(DISTINCT near.data_source, ',' ORDER BY near.data_source) AS data_source
  FROM days
  CROSS JOIN parameters
  INNER JOIN near
    ON near.customer_id = days.customer_id
    AND near.transaction_date > days.alert_date - window_days
    AND near.transaction_date <= days.alert_date
  GROUP BY days.customer_id, days.alert_date
)

SELECT
  'structuring' AS rule,
  'high' AS severity,
  customer_id AS subject_id,
  alert_date,
  alert_date - (window_days - 1) AS window_start,
  amount_usd AS measured,
  threshold AS held_against,
  transaction_count,
  amount_usd,
  transactions,
  CAST(parameters AS VARCHAR) AS parameters,
  ingestion_timestamp,
  data_source
FROM found
CROSS JOIN parameters
WHERE transaction_count >= min_payments AND amount_usd >= threshold
