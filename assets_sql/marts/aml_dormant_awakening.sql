-- One row per customer and day with payments of a large total, where an account older than the window had none in it before.
WITH parameters AS (
  SELECT
    1000.00 AS min_amount,
    91 AS window_days
),

-- Payments are read where they are needed rather than once, so that only the payer column is read for earlier days.
large_days AS (
  SELECT customer_id, transaction_date AS alert_date
  FROM marts.transactions_enriched
  CROSS JOIN parameters
  WHERE status <> 'failed' AND amount_usd IS NOT NULL
  GROUP BY customer_id, transaction_date, min_amount
  HAVING sum(amount_usd) >= min_amount
),

registered AS (
  SELECT customer_id, transaction_date, min(customer_registered_at) AS registered_at
  FROM enriched.transactions
  GROUP BY customer_id, transaction_date
),

-- If nothing landed for the first week of the window, dormancy in it cannot be established.
observed AS (
  SELECT DISTINCT transaction_date
  FROM marts.transactions_enriched
),

awakened AS (
  SELECT large_days.customer_id, alert_date
  FROM large_days
  CROSS JOIN parameters
  INNER JOIN registered
    ON registered.customer_id = large_days.customer_id
    AND registered.transaction_date = large_days.alert_date
    AND epoch_us(registered.registered_at) < 86400000000 * (alert_date - window_days - DATE '1970-01-01')
  WHERE NOT EXISTS (
    SELECT 1
    FROM marts.transactions_enriched AS earlier
    WHERE earlier.status <> 'failed'
      AND earlier.customer_id = large_days.customer_id
      AND earlier.transaction_date > alert_date - window_days
      AND earlier.transaction_date < alert_date
  ) AND EXISTS (
    SELECT 1
    FROM observed
    WHERE observed.transaction_date > alert_date - window_days
      AND observed.transaction_date <= alert_date - window_days + 7
  )
),

found AS (
  SELECT
    awakened.customer_id,
    alert_date,
    count(*) AS transaction_count,
    sum(amount_usd) AS amount_usd,
    list(
      {'transaction_id': transaction_id, 'transaction_date': transaction_date, 'amount_usd': amount_usd}
      ORDER BY transaction_timestamp, transaction_id
    ) AS transactions,
    max(ingestion_timestamp) AS ingestion_timestamp,
    string_agg(DISTINCT data_source, ',' ORDER BY data_source) AS data_source
  FROM awakened
  INNER JOIN marts.transactions_enriched AS paid
    ON paid.customer_id = awakened.customer_id
    AND paid.transaction_date = alert_date
    AND status <> 'failed'
    AND amount_usd IS NOT NULL
  GROUP BY awakened.customer_id, alert_date
)

SELECT
  'dormant_awakening' AS rule,
  'medium' AS severity,
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
