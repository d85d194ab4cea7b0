-- One row per change of a refund or of a dispute, as its source reported it; repeated deliveries of a change are one row.
-- Amounts and dates are read exactly as the sources count them (payments.contracts.vocabulary), so that the books close.
WITH told AS (
  SELECT
    'refund' AS subject, refund_id AS subject_id, transaction_id, amount, currency, state, paid_at, event_date,
    _op, _sequence, _source_timestamp, _ingested_at, _source, _landing_object, _landing_row
  FROM changes.refunds
  UNION ALL
  SELECT
    'dispute' AS subject, dispute_id AS subject_id, transaction_id, amount, currency, state, paid_at, event_date,
    _op, _sequence, _source_timestamp, _ingested_at, _source, _landing_object, _landing_row
  FROM changes.chargebacks
),

standard AS (
  SELECT
    subject,
    subject_id,
    nullif(trim(transaction_id), '') AS transaction_id,
    CASE
      WHEN _op <> 'd' THEN TRY_CAST(
        CASE
          WHEN NOT contains(amount, ',') THEN trim(amount, ' $')
          WHEN regexp_full_match(trim(amount, ' $'), '[0-9]{1,3}(,[0-9]{3})+([.][0-9]+)?')
            THEN replace(trim(amount, ' $'), ',', '')
        END AS DECIMAL(18,2)
      )
    END AS amount,
    upper(trim(currency)) AS currency,
    CASE WHEN _op = 'd' THEN 'deleted' ELSE nullif(lower(trim(state)), '') END AS state,
    CAST(
      CASE
        WHEN contains(paid_at, '-') THEN make_timestamp(epoch_us(TRY_CAST(paid_at AS TIMESTAMPTZ)))
        WHEN contains(paid_at, '/') THEN try_strptime(trim(paid_at), ['%m/%d/%Y %H:%M:%S', '%m/%d/%Y'])
        WHEN regexp_full_match(trim(paid_at), '[0-9]{9,10}') THEN make_timestamp(1000000 * TRY_CAST(paid_at AS BIGINT))
      END AS DATE
    ) AS payment_date,
    event_date,
    _op,
    _sequence,
    _source_timestamp,
    _ingested_at,
    _source,
    _landing_object,
    _landing_row
  FROM told
),

-- A change is represented by its first delivery.
changes AS (
  SELECT
    subject,
    subject_id,
    event_date,
    _op,
    _sequence,
    _source,
    count(*) AS delivery_count,
    coalesce(sum(amount), 0) AS delivered_amount,
    min(
      {'landed_at': _ingested_at, 'object': _landing_object, 'row': _landing_row,
       'transaction_id': transaction_id, 'amount': amount, 'currency': currency, 'state': state,
       'payment_date': payment_date, 'changed_at': _source_timestamp}
    ) AS told
  FROM standard
  GROUP BY subject, subject_id, event_date, _op, _sequence, _source
)

-- A deletion has only its key: its other columns come from the other changes of that key.
SELECT
  subject,
  subject_id,
  event_date AS subject_date,
  coalesce(told.payment_date, max(told.payment_date) OVER by_key) AS payment_date,
  coalesce(told.transaction_id, max(told.transaction_id) OVER by_key) AS transaction_id,
  _op AS operation,
  told.state AS state,
  told.amount AS amount,
  told.currency AS currency,
  told.changed_at AS changed_at,
  _sequence AS source_position,
  told.object AS landing_object,
  told.row AS landing_row,
  delivery_count,
  delivered_amount,
  told.landed_at AS ingestion_timestamp,
  _source AS data_source
FROM changes
WINDOW by_key AS (PARTITION BY subject, subject_id, event_date)
