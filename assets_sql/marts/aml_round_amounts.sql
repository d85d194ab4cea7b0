-- One row per customer and day with a large payment of a round amount, where most large payments in the window are round.
WITH parameters AS (
  SELECT
    100 AS multiple,
    500.00 AS min_amount,
    5 AS min_payments,
    0.80 AS min_share,
    30 AS window_days
),

-- Round in the currency charged, large in dollars.
large AS (
  SELECT
    customer_id, transaction_id, transaction_date, transaction_timestamp, amount_usd, ingestion_timestamp, data_source,
    amount % multiple = 0 AS is_round
  FROM marts.transactions_enriched
  CROSS JOIN parameters
  WHERE status <> 'failed' AND amount_usd >= min_amount
),

round_ones AS (
  SELECT customer_id, transaction_id, transaction_date, transaction_timestamp, amount_usd, ingestion_timestamp, data_source
  FROM large
  WHERE is_round
),

-- Each day with such a payment ends a window.
days AS (
  SELECT DISTINCT customer_id, transaction_date AS alert_date
  FROM round_ones
),

everything AS (
  SELECT days.customer_id, days.alert_date, count(*) AS large_count
  FROM days
  CROSS JOIN parameters
  INNER JOIN large
    ON large.customer_id = days.customer_id
    AND large.transaction_date > days.alert_date - window_days
    AND large.transaction_date <= days.alert_date
  GROUP BY days.customer_id, days.alert_date
),

found AS (
  SELECT
    days.customer_id,
    days.alert_date,
    count(*) AS transaction_count,
    sum(round_ones.amount_usd) AS amount_usd,
    list(
      {'transaction_id': round_ones.transaction_id, 'transaction_date': round_ones.transaction_date, 'amount_usd': round_ones.amount_usd}
      ORDER BY round_ones.transaction_timestamp, round_ones.transaction_id
    ) AS transactions,
    max(round_ones.ingestion_timestamp) AS ingestion_timestamp,
    string_agg(DISTINCT round_ones.data_source, ',' ORDER BY round_ones.data_source) AS data_source
  FROM days
  CROSS JOIN parameters
  INNER JOIN round_ones
    ON round_ones.customer_id = days.customer_id
    AND round_ones.transaction_date > days.alert_date - window_days
    AND round_ones.transaction_date <= days.alert_date
  GROUP BY days.customer_id, days.alert_date
),

compared AS (
  SELECT
    found.customer_id, found.alert_date, transaction_count, amount_usd, transactions, ingestion_timestamp, data_source,
    large_count
  FROM found
  INNER JOIN everything ON everything.customer_id = found.customer_id AND everything.alert_date = found.alert_date
)

SELECT
  'round_amounts' AS rule,
  'low' AS severity,
  customer_id AS subject_id,
  alert_date,
  alert_date - (window_days - 1) AS window_start,
  transaction_count AS measured,
  min_payments AS held_against,
  transaction_count,
  amount_usd,
  transactions,
  CAST(parameters AS VARCHAR) AS parameters,
  ingestion_timestamp,
  data_source
FROM compared
CROSS JOIN parameters
WHERE transaction_count >= min_payments AND transaction_count >= min_share * large_count
