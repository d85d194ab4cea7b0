-- One row per customer and day with a payment that is the last of too many within some hours.
WITH parameters AS (
  SELECT
    24 AS hours,
    10 AS min_payments,
    2 AS window_days
),

-- No other customer can have enough payments, so little is left to sort.
busy AS (
  SELECT customer_id
  FROM marts.transactions_enriched
  CROSS JOIN parameters
  WHERE status <> 'failed'
  GROUP BY customer_id, min_payments
  HAVING count(*) >= min_payments
),

counted AS (
  SELECT
    payments.customer_id, transaction_id, transaction_date, transaction_timestamp, amount_usd, ingestion_timestamp, data_source,
    count(*) OVER (
      PARTITION BY payments.customer_id ORDER BY transaction_timestamp
      RANGE BETWEEN to_hours(hours) PRECEDING AND CURRENT ROW
    ) AS payments_so_far
  FROM marts.transactions_enriched AS payments
  SEMI JOIN busy ON busy.customer_id = payments.customer_id
  CROSS JOIN parameters
  WHERE status <> 'failed'
),

-- Payments that end a span of hours with too many.
peaks AS (
  SELECT customer_id, transaction_date AS alert_date, transaction_timestamp AS peak_at, max(payments_so_far) AS payments_so_far
  FROM counted
  CROSS JOIN parameters
  WHERE payments_so_far >= min_payments
  GROUP BY customer_id, transaction_date, transaction_timestamp
),

-- The spans may overlap: each payment counts once.
involved AS (
  SELECT DISTINCT
    peaks.customer_id, peaks.alert_date, counted.transaction_id, counted.transaction_date, counted.transaction_timestamp,
    counted.amount_usd, counted.ingestion_timestamp, counted.data_source
  FROM peaks
  CROSS JOIN parameters
  INNER JOIN counted
    ON counted.customer_id = peaks.customer_id
    AND counted.transaction_timestamp >= peaks.peak_at - to_hours(hours)
    AND counted.transaction_timestamp <= peaks.peak_at
),

highest AS (
  SELECT customer_id, alert_date, max(payments_so_far) AS most_payments
  FROM peaks
  GROUP BY customer_id, alert_date
),

listed AS (
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
  FROM involved
  GROUP BY customer_id, alert_date
),

found AS (
  SELECT
    listed.customer_id, listed.alert_date, most_payments, transaction_count, amount_usd, transactions, ingestion_timestamp,
    data_source
  FROM listed
  INNER JOIN highest ON highest.customer_id = listed.customer_id AND highest.alert_date = listed.alert_date
)

SELECT
  'velocity' AS rule,
  'medium' AS severity,
  customer_id AS subject_id,
  alert_date,
  alert_date - (window_days - 1) AS window_start,
  most_payments AS measured,
  min_payments AS held_against,
  transaction_count,
  coalesce(amount_usd, 0) AS amount_usd,
  transactions,
  CAST(parameters AS VARCHAR) AS parameters,
  ingestion_timestamp,
  data_source
FROM found
CROSS JOIN parameters
WHERE most_payments >= min_payments
