-- The lines of payments' records. Reads `valued`: records with the values of `payment_values.sql`.
WITH drawn AS (
  SELECT *, draw(4 * no + kind, 'form') AS forms, CASE WHEN kind = 3 THEN no % 8 END AS malformed FROM valued
),

written AS (
  SELECT line_no, no, kind, created_us, commit_us, lsn, malformed, region,
    CASE
      WHEN malformed IS NULL THEN concat('"', long_identifier('pay_', no), '"')
      ELSE concat('"', long_identifier('pay_bad_', no), '"')
    END AS transaction_id,
    CASE WHEN malformed = 6 THEN 'null' ELSE concat('"', identifier('cust_', customer), '"') END AS customer_id,
    identifier('mer_', merchant) AS merchant_id,
    CASE
      WHEN malformed = 2 THEN '"abc"'
      WHEN malformed = 4 THEN concat('"-', plain_amount(cents), '"')
      ELSE amount_json(cents, share(forms, 0))
    END AS amount,
    CASE WHEN malformed = 3 THEN 'XXX' ELSE currency_text(currency, share(forms, 1)) END AS currency,
    CASE
      WHEN kind = 1 THEN 'captured'
      WHEN kind = 2 AND fate(no) = 3 THEN 'refunded'
      WHEN kind = 2 THEN 'chargeback'
      WHEN kind = 0 AND fate(no) = 0 THEN 'failed'
      ELSE 'authorized'
    END AS status,
    CASE
      WHEN kind = 0 AND fate(no) = 0 THEN pick(
        ['"insufficient_funds"', '"expired_card"', '"fraud_suspected"', '"do_not_honor"', '"processing_error"'],
        share(draw(no, 'reason'), 0)
      )
      ELSE 'null'
    END AS failure_reason,
    method_text(share(kinds, 1)) AS payment_method,
    flag_json(share(kinds, 2) < 0.25, share(forms, 3)) AS is_recurring,
    CASE WHEN malformed = 5 THEN '"not-a-date"' ELSE instant_json(paid_s, share(forms, 2)) END AS transaction_date,
    CASE
      WHEN commit_us < getvariable('sca_us') THEN ''
      WHEN share(draw(no, 'sca'), 0) < 0.60 THEN ',"sca_method":"3ds2"'
      WHEN share(draw(no, 'sca'), 0) < 0.90 THEN ',"sca_method":"exempt"'
      ELSE ',"sca_method":"none"'
    END AS sca_member
  FROM drawn
),

enveloped AS (
  SELECT line_no, malformed, envelope(
    'transactions', CASE WHEN kind IN (1, 2) THEN 'u' ELSE 'c' END, 'null',
    concat(
      '{"transaction_id":', transaction_id, ',"customer_id":', customer_id, ',"merchant_id":"', merchant_id,
      '","amount":', amount, ',"currency":"', currency, '","status":"', status,
      '","failure_reason":', failure_reason, ',"region":"', region, '","payment_method":"', payment_method,
      '","is_recurring":', is_recurring, ',"transaction_date":', transaction_date,
      ',"created_at":', created_us, ',"updated_at":', commit_us, sca_member, '}'
    ),
    commit_us, lsn, connector_lag_us(4 * no + kind)
  ) AS line
  FROM written
)

SELECT line_no, CASE malformed
  WHEN 0 THEN left(line, 240)
  WHEN 1 THEN '{"after": {"transaction_id": null'
  WHEN 7 THEN 'upstream connect error or disconnect/reset before headers'
  ELSE line
END AS line
FROM enveloped
