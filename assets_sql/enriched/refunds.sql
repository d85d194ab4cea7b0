-- One row per refund: its latest state, in standard values.
-- Amounts and dates are read exactly as the source counts them (payments.contracts.vocabulary), so that the books close.
WITH standard AS (
  SELECT
    refund_id,
    nullif(trim(transaction_id), '') AS transaction_id,
    nullif(trim(customer_id), '') AS customer_id,
    nullif(trim(merchant_id), '') AS merchant_id,
    TRY_CAST(
      CASE
        WHEN NOT contains(amount, ',') THEN trim(amount, ' $')
        WHEN regexp_full_match(trim(amount, ' $'), '[0-9]{1,3}(,[0-9]{3})+([.][0-9]+)?')
          THEN replace(trim(amount, ' $'), ',', '')
      END AS DECIMAL(18,2)
    ) AS amount,
    TRY_CAST(
      CASE
        WHEN NOT contains(payment_amount, ',') THEN trim(payment_amount, ' $')
        WHEN regexp_full_match(trim(payment_amount, ' $'), '[0-9]{1,3}(,[0-9]{3})+([.][0-9]+)?')
          THEN replace(trim(payment_amount, ' $'), ',', '')
      END AS DECIMAL(18,2)
    ) AS payment_amount,
    upper(trim(currency)) AS currency,
    upper(trim(region)) AS region,
    lower(trim(payment_method)) AS payment_method,
    nullif(lower(trim(reason)), '') AS reason,
    lower(trim(state)) AS state,
    CASE
      WHEN contains(paid_at, '-') THEN make_timestamp(epoch_us(TRY_CAST(paid_at AS TIMESTAMPTZ)))
      WHEN contains(paid_at, '/') THEN try_strptime(trim(paid_at), ['%m/%d/%Y %H:%M:%S', '%m/%d/%Y'])
      WHEN regexp_full_match(trim(paid_at), '[0-9]{9,10}') THEN make_timestamp(1000000 * TRY_CAST(paid_at AS BIGINT))
    END AS paid_at,
    CASE
      WHEN contains(requested_at, '-') THEN make_timestamp(epoch_us(TRY_CAST(requested_at AS TIMESTAMPTZ)))
      WHEN contains(requested_at, '/') THEN try_strptime(trim(requested_at), ['%m/%d/%Y %H:%M:%S', '%m/%d/%Y'])
      WHEN regexp_full_match(trim(requested_at), '[0-9]{9,10}') THEN make_timestamp(1000000 * TRY_CAST(requested_at AS BIGINT))
    END AS requested_at,
    CASE
      WHEN contains(refunded_at, '-') THEN make_timestamp(epoch_us(TRY_CAST(refunded_at AS TIMESTAMPTZ)))
      WHEN contains(refunded_at, '/') THEN try_strptime(trim(refunded_at), ['%m/%d/%Y %H:%M:%S', '%m/%d/%Y'])
      WHEN regexp_full_match(trim(refunded_at), '[0-9]{9,10}') THEN make_timestamp(1000000 * TRY_CAST(refunded_at AS BIGINT))
    END AS refunded_at,
    event_date AS refund_date,
    make_timestamptz(created_at) AS created_at,
    make_timestamptz(updated_at) AS updated_at,
    _ingested_at,
    _source
  FROM latest.refunds
)

SELECT
  refund_id,
  refund_date,
  make_timestamptz(epoch_us(requested_at)) AS requested_at,
  make_timestamptz(epoch_us(refunded_at)) AS refunded_at,
  state,
  reason,
  amount,
  currency,
  transaction_id,
  payment_amount,
  make_timestamptz(epoch_us(paid_at)) AS paid_at,
  payment_method,
  region,
  customer_id,
  merchant_id,
  created_at,
  updated_at,
  _ingested_at AS ingestion_timestamp,
  _source AS data_source
FROM standard
