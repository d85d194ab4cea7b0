-- One row per dispute: its latest state, in standard values.
-- Amounts and dates are read exactly as the source counts them (payments.contracts.vocabulary), so that the books close.
WITH standard AS (
  SELECT
    dispute_id,
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
    lower(trim(network)) AS network,
    nullif(upper(trim(reason_code)), '') AS reason_code,
    lower(trim(state)) AS state,
    CASE
      WHEN contains(paid_at, '-') THEN make_timestamp(epoch_us(TRY_CAST(paid_at AS TIMESTAMPTZ)))
      WHEN contains(paid_at, '/') THEN try_strptime(trim(paid_at), ['%m/%d/%Y %H:%M:%S', '%m/%d/%Y'])
      WHEN regexp_full_match(trim(paid_at), '[0-9]{9,10}') THEN make_timestamp(1000000 * TRY_CAST(paid_at AS BIGINT))
    END AS paid_at,
    CASE
      WHEN contains(captured_at, '-') THEN make_timestamp(epoch_us(TRY_CAST(captured_at AS TIMESTAMPTZ)))
      WHEN contains(captured_at, '/') THEN try_strptime(trim(captured_at), ['%m/%d/%Y %H:%M:%S', '%m/%d/%Y'])
      WHEN regexp_full_match(trim(captured_at), '[0-9]{9,10}') THEN make_timestamp(1000000 * TRY_CAST(captured_at AS BIGINT))
    END AS captured_at,
    CASE
      WHEN contains(opened_at, '-') THEN make_timestamp(epoch_us(TRY_CAST(opened_at AS TIMESTAMPTZ)))
      WHEN contains(opened_at, '/') THEN try_strptime(trim(opened_at), ['%m/%d/%Y %H:%M:%S', '%m/%d/%Y'])
      WHEN regexp_full_match(trim(opened_at), '[0-9]{9,10}') THEN make_timestamp(1000000 * TRY_CAST(opened_at AS BIGINT))
    END AS opened_at,
    CASE
      WHEN contains(closed_at, '-') THEN make_timestamp(epoch_us(TRY_CAST(closed_at AS TIMESTAMPTZ)))
      WHEN contains(closed_at, '/') THEN try_strptime(trim(closed_at), ['%m/%d/%Y %H:%M:%S', '%m/%d/%Y'])
      WHEN regexp_full_match(trim(closed_at), '[0-9]{9,10}') THEN make_timestamp(1000000 * TRY_CAST(closed_at AS BIGINT))
    END AS closed_at,
    event_date AS opened_date,
    make_timestamptz(created_at) AS created_at,
    make_timestamptz(updated_at) AS updated_at,
    _ingested_at,
    _source
  FROM latest.chargebacks
)

SELECT
  dispute_id,
  opened_date,
  make_timestamptz(epoch_us(opened_at)) AS opened_at,
  make_timestamptz(epoch_us(closed_at)) AS closed_at,
  state,
  network,
  reason_code,
  CASE
    WHEN network = 'visa' AND reason_code IN ('10.1', '10.3', '10.4', '10.5') THEN 'fraud'
    WHEN network = 'visa' AND reason_code IN ('11.1', '11.2', '11.3') THEN 'authorization'
    WHEN network = 'visa' AND reason_code IN ('12.5', '12.6.1', '12.6.2') THEN 'processing'
    WHEN network = 'visa' AND reason_code IN ('13.1', '13.2', '13.3', '13.5', '13.6', '13.7') THEN 'consumer'
    WHEN network = 'mastercard' AND reason_code IN ('4837', '4849', '4870', '4871') THEN 'fraud'
    WHEN network = 'mastercard' AND reason_code = '4808' THEN 'authorization'
    WHEN network = 'mastercard' AND reason_code = '4834' THEN 'processing'
    WHEN network = 'mastercard' AND reason_code = '4853' THEN 'consumer'
    WHEN network = 'amex' AND reason_code IN ('F24', 'F29', 'F30') THEN 'fraud'
    WHEN network = 'amex' AND reason_code IN ('A01', 'A02') THEN 'authorization'
    WHEN network = 'amex' AND reason_code IN ('P05', 'P08') THEN 'processing'
    WHEN network = 'amex' AND reason_code IN ('C02', 'C08', 'C28', 'C31') THEN 'consumer'
    WHEN network = 'bank' AND reason_code = 'MD01' THEN 'authorization'
    WHEN network = 'bank' AND reason_code = 'MD06' THEN 'consumer'
  END AS reason_category,
  amount,
  currency,
  transaction_id,
  payment_amount,
  make_timestamptz(epoch_us(paid_at)) AS paid_at,
  make_timestamptz(epoch_us(captured_at)) AS captured_at,
  payment_method,
  region,
  customer_id,
  merchant_id,
  created_at,
  updated_at,
  _ingested_at AS ingestion_timestamp,
  _source AS data_source
FROM standard
