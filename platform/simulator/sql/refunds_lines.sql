-- The lines of refunds' records. Reads `valued`: records (`record_no`) with the values of their payment.
WITH drawn AS (
  SELECT *, draw(4 * record_no + kind, 'refund form') AS forms, draw(4 * record_no + kind, 'refund times') AS times,
    draw(record_no, 'refund reason') AS why, CASE WHEN kind = 3 THEN record_no % 8 END AS malformed,
    refund_cents(record_no, cents, currency) AS refund_cents
  FROM valued
),

written AS (
  SELECT line_no, record_no, kind, commit_us, lsn, malformed, region,
    long_identifier(CASE WHEN malformed IS NULL THEN 'ref_' ELSE 'ref_bad_' END, record_no) AS refund_id,
    long_identifier('pay_', no) AS transaction_id,
    CASE WHEN malformed = 6 THEN 'null' ELSE concat('"', identifier('cust_', customer), '"') END AS customer_id,
    identifier('mer_', merchant) AS merchant_id,
    CASE
      WHEN malformed = 2 THEN '"abc"'
      WHEN malformed = 4 THEN concat('"-', plain_amount(refund_cents), '"')
      ELSE amount_json(refund_cents, share(forms, 0))
    END AS amount,
    amount_json(cents, share(forms, 1)) AS payment_amount,
    CASE WHEN malformed = 3 THEN 'XXX' ELSE currency_text(currency, share(forms, 2)) END AS currency,
    method_text(share(kinds, 1)) AS payment_method,
    CASE
      WHEN share(why, 0) < 0.08 THEN 'null'
      WHEN share(forms, 3) < 0.05 THEN concat('"', upper(refund_reason(share(why, 1))), '"')
      ELSE concat('"', refund_reason(share(why, 1)), '"')
    END AS reason,
    CASE WHEN kind = 1 THEN refund_state(record_no) ELSE 'pending' END AS state,
    instant_json(paid_s, share(times, 0)) AS paid_at,
    CASE WHEN malformed = 5 THEN '"not-a-date"' ELSE instant_json(opened_us // 1000000, share(times, 1)) END AS requested_at,
    CASE
      WHEN kind = 1 AND refund_state(record_no) = 'succeeded' THEN instant_json(closed_us // 1000000, share(times, 2))
      ELSE 'null'
    END AS refunded_at,
    -- The row's creation is as late as its change.
    CASE WHEN kind = 1 THEN commit_us - closed_us + opened_us ELSE commit_us END AS made_us
  FROM drawn
),

enveloped AS (
  SELECT line_no, malformed, envelope(
    'refunds', CASE WHEN kind = 1 THEN 'u' ELSE 'c' END, 'null',
    concat(
      '{"refund_id":"', refund_id, '","transaction_id":"', transaction_id, '","customer_id":', customer_id,
      ',"merchant_id":"', merchant_id, '","amount":', amount, ',"payment_amount":', payment_amount,
      ',"currency":"', currency, '","region":"', region, '","payment_method":"', payment_method,
      '","reason":', reason, ',"state":"', state, '","paid_at":', paid_at, ',"requested_at":', requested_at,
      ',"refunded_at":', refunded_at, ',"created_at":', made_us, ',"updated_at":', commit_us, '}'
    ),
    commit_us, lsn, connector_lag_us(4 * record_no + kind)
  ) AS line
  FROM written
)

SELECT line_no, CASE malformed
  WHEN 0 THEN left(line, 240)
  WHEN 1 THEN '{"after": {"refund_id": null'
  WHEN 7 THEN 'upstream connect error or disconnect/reset before headers'
  ELSE line
END AS line
FROM enveloped
