-- One row per change of a payment, its refunds or its disputes: values before and after, when, and which record reported it.
-- Repeated deliveries of a change are one row. Amounts are read exactly as the sources count them.
WITH told AS (
  SELECT
    transaction_id, amount, currency, status, event_date, _op, _sequence, _source_timestamp, _ingested_at, _source,
    _landing_object, _landing_row
  FROM changes.transactions
  UNION ALL
  SELECT
    transaction_id, amount, currency, status, event_date, _op, _sequence, _source_timestamp, _ingested_at, _source,
    _landing_object, _landing_row
  FROM changes.legacy_transactions
),

standard AS (
  SELECT
    transaction_id,
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
    CASE WHEN _op = 'd' THEN 'deleted' ELSE nullif(lower(trim(status)), '') END AS state,
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
payments AS (
  SELECT
    transaction_id,
    event_date,
    _op,
    _sequence,
    _source,
    count(*) AS delivery_count,
    coalesce(sum(amount), 0) AS delivered_amount,
    min(
      {'landed_at': _ingested_at, 'object': _landing_object, 'row': _landing_row,
       'amount': amount, 'currency': currency, 'state': state, 'changed_at': _source_timestamp}
    ) AS told
  FROM standard
  GROUP BY transaction_id, event_date, _op, _sequence, _source
),

-- A deletion that has only a key is on every day on which the refund or dispute was: it is one change.
returned AS (
  SELECT
    payment_date,
    subject,
    subject_id,
    operation,
    source_position,
    data_source,
    any_value(transaction_id) AS transaction_id,
    any_value(state) AS state,
    any_value(amount) AS amount,
    any_value(currency) AS currency,
    any_value(changed_at) AS changed_at,
    any_value(landing_object) AS landing_object,
    any_value(landing_row) AS landing_row,
    sum(delivery_count) AS delivery_count,
    sum(delivered_amount) AS delivered_amount,
    any_value(ingestion_timestamp) AS ingestion_timestamp
  FROM enriched.return_changes
  GROUP BY payment_date, subject, subject_id, operation, source_position, data_source
),

changes AS (
  SELECT
    transaction_id,
    event_date AS transaction_date,
    'payment' AS subject,
    transaction_id AS subject_id,
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
  FROM payments
  UNION ALL
  SELECT
    transaction_id, payment_date AS transaction_date, subject, subject_id, operation, state, amount, currency, changed_at,
    source_position, landing_object, landing_row, delivery_count, delivered_amount, ingestion_timestamp, data_source
  FROM returned
),

-- A deletion comes last at its position.
compared AS (
  SELECT
    *,
    last_value(state IGNORE NULLS) OVER before_it AS from_state,
    last_value(amount IGNORE NULLS) OVER before_it AS amount_before,
    last_value(currency IGNORE NULLS) OVER before_it AS currency_before
  FROM changes
  WINDOW before_it AS (
    PARTITION BY data_source, subject_id, transaction_date
    ORDER BY source_position, operation = 'd', operation
    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
  )
)

-- A change that omits a value leaves it unchanged.
SELECT
  transaction_id,
  transaction_date,
  subject,
  subject_id,
  operation,
  CASE
    WHEN coalesce(state, from_state) IS DISTINCT FROM from_state THEN 'state'
    WHEN coalesce(amount, amount_before) IS DISTINCT FROM amount_before THEN 'amount'
    ELSE 'other'
  END AS changed,
  from_state,
  coalesce(state, from_state) AS to_state,
  amount_before,
  coalesce(amount, amount_before) AS amount_after,
  coalesce(currency, currency_before) AS currency,
  changed_at,
  source_position,
  landing_object,
  landing_row,
  delivery_count,
  delivered_amount,
  ingestion_timestamp,
  data_source
FROM compared
