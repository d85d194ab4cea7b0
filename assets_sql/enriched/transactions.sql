-- One row per payment: its latest state, in standard values.
-- Amounts and dates are read exactly as the sources count them (payments.contracts.vocabulary), so that the books close.
WITH payments AS (
  SELECT
    transaction_id, customer_id, merchant_id, amount, currency, status, failure_reason, region, payment_method,
    is_recurring, sca_method, transaction_date AS written_date, event_date, created_at, updated_at,
    _ingested_at, _source
  FROM latest.transactions
  UNION ALL
  SELECT
    transaction_id, customer_id, merchant_id, amount, currency, status, NULL AS failure_reason, region,
    NULL AS payment_method, is_recurring, NULL AS sca_method, transaction_date AS written_date, event_date,
    NULL AS created_at, NULL AS updated_at, _ingested_at, _source
  FROM latest.legacy_transactions
),

standard AS (
  SELECT
    transaction_id,
    nullif(trim(customer_id), '') AS customer_id,
    nullif(trim(merchant_id), '') AS merchant_id,
    TRY_CAST(
      CASE
        WHEN NOT contains(amount, ',') THEN trim(amount, ' $')
        WHEN regexp_full_match(trim(amount, ' $'), '[0-9]{1,3}(,[0-9]{3})+([.][0-9]+)?')
          THEN replace(trim(amount, ' $'), ',', '')
      END AS DECIMAL(18,2)
    ) AS amount,
    upper(trim(currency)) AS currency,
    lower(trim(status)) AS status,
    nullif(lower(trim(failure_reason)), '') AS failure_reason,
    upper(trim(region)) AS region,
    lower(trim(payment_method)) AS payment_method,
    CASE
      WHEN lower(trim(is_recurring)) IN ('y', 'yes', 't', 'true', '1') THEN true
      WHEN lower(trim(is_recurring)) IN ('n', 'no', 'f', 'false', '0') THEN false
    END AS is_recurring,
    lower(trim(sca_method)) AS sca_method,
    CASE
      WHEN contains(written_date, '-') THEN make_timestamp(epoch_us(TRY_CAST(written_date AS TIMESTAMPTZ)))
      WHEN contains(written_date, '/')
        THEN try_strptime(trim(written_date), ['%m/%d/%Y %H:%M:%S', '%m/%d/%Y'])
      WHEN regexp_full_match(trim(written_date), '[0-9]{9,10}')
        THEN make_timestamp(1000000 * TRY_CAST(written_date AS BIGINT))
    END AS transaction_time,
    event_date AS transaction_date,
    make_timestamptz(created_at) AS created_at,
    make_timestamptz(updated_at) AS updated_at,
    _ingested_at AS ingestion_timestamp,
    _source AS data_source
  FROM payments
)

SELECT
  standard.transaction_id,
  standard.customer_id,
  standard.merchant_id,
  standard.amount,
  standard.currency,
  standard.status,
  standard.failure_reason,
  standard.region,
  standard.payment_method,
  standard.is_recurring,
  standard.sca_method,
  -- Via microseconds, because a cast between the two timestamp types calls the time-zone library for every row.
  make_timestamptz(epoch_us(standard.transaction_time)) AS transaction_timestamp,
  standard.transaction_date,
  customer.registered_at AS customer_registered_at,
  standard.created_at,
  standard.updated_at,
  standard.ingestion_timestamp,
  standard.data_source
FROM standard
LEFT JOIN enriched.customers AS customer ON customer.customer_id = standard.customer_id
