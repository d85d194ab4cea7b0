-- One row per customer and day with a payment from or to a listed country, where such payments in the window have a large total.
WITH parameters AS (
  SELECT
    ['IR', 'KP', 'MM'] AS countries,
    1000.00 AS min_amount,
    30 AS window_days
),

corridor AS (
  SELECT customer_id, transaction_id, transaction_date, transaction_timestamp, amount_usd, ingestion_timestamp, data_source
  FROM marts.transactions_enriched
  CROSS JOIN parameters
  WHERE status <> 'failed'
    AND amount_usd IS NOT NULL
    AND (list_contains(countries, customer_country) OR list_contains(countries, merchant_country))
),

-- Each day with such a payment ends a window.
days AS (
  SELECT DISTINCT customer_id, transaction_date AS alert_date
  FROM corridor
),

found AS (
  SELECT
    days.customer_id,
    days.alert_date,
    count(*) AS transaction_count,
    sum(corridor.amount_usd) AS amount_usd,
    list(
      {'transaction_id': corridor.transaction_id, 'transaction_date': corridor.transaction_date, 'amount_usd': corridor.amount_usd}
      ORDER BY corridor.transaction_timestamp, corridor.transaction_id
    ) AS transactions,
    max(corridor.ingestion_timestamp) AS ingestion_timestamp,
    string_agg(DISTINCT corridor.data_source, ',' ORDER BY corridor.data_source) AS data_source
  FROM days
  CROSS JOIN parameters
  INNER JOIN corridor
    ON corridor.customer_id = days.customer_id
    AND corridor.transaction_date > days.alert_date - window_days
    AND corridor.transaction_date <= days.alert_date
  GROUP BY days.customer_id, days.alert_date
)

SELECT
  'high_risk_corridors' AS rule,
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
WHERE amount_usd >= min_amount
