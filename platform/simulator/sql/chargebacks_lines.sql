-- The lines of disputes' records. Reads `valued`: records (`record_no`) with the values of their payment.
WITH drawn AS (
  SELECT *, draw(4 * record_no + kind, 'dispute form') AS forms, draw(4 * record_no + kind, 'dispute times') AS times,
    draw(record_no, 'dispute reason') AS why, CASE WHEN kind = 3 THEN record_no % 8 END AS malformed,
    disputed_cents(record_no, cents, currency) AS disputed_cents
  FROM valued
),

written AS (
  SELECT line_no, record_no, kind, commit_us, lsn, malformed, region,
    long_identifier(CASE WHEN malformed IS NULL THEN 'dis_' ELSE 'dis_bad_' END, record_no) AS dispute_id,
    long_identifier('pay_', no) AS transaction_id,
    CASE WHEN malformed = 6 THEN 'null' ELSE concat('"', identifier('cust_', customer), '"') END AS customer_id,
    identifier('mer_', merchant) AS merchant_id,
    CASE
      WHEN malformed = 2 THEN '"abc"'
      WHEN malformed = 4 THEN concat('"-', plain_amount(disputed_cents), '"')
      ELSE amount_json(disputed_cents, share(forms, 0))
    END AS amount,
    amount_json(cents, share(forms, 1)) AS payment_amount,
    CASE WHEN malformed = 3 THEN 'XXX' ELSE currency_text(currency, share(forms, 2)) END AS currency,
    method_text(share(kinds, 1)) AS payment_method,
    network_of(method_text(share(kinds, 1)), share(why, 0)) AS network,
    CASE WHEN kind = 1 THEN dispute_state(record_no) ELSE 'open' END AS state,
    why,
    instant_json(paid_s, share(times, 0)) AS paid_at,
    instant_json(captured_us // 1000000, share(times, 3)) AS captured_at,
    CASE WHEN malformed = 5 THEN '"not-a-date"' ELSE instant_json(opened_us // 1000000, share(times, 1)) END AS opened_at,
    CASE WHEN kind = 1 THEN instant_json(closed_us // 1000000, share(times, 2)) ELSE 'null' END AS closed_at,
    CASE WHEN kind = 1 THEN opened_us ELSE commit_us END AS made_us
  FROM drawn
),

enveloped AS (
  SELECT line_no, malformed, envelope(
    'chargebacks', CASE WHEN kind = 1 THEN 'u' ELSE 'c' END, 'null',
    concat(
      '{"dispute_id":"', dispute_id, '","transaction_id":"', transaction_id, '","customer_id":', customer_id,
      ',"merchant_id":"', merchant_id, '","amount":', amount, ',"payment_amount":', payment_amount,
      ',"currency":"', currency, '","region":"', region, '","payment_method":"', payment_method,
      '","network":"', network, '","reason_code":"', pick(reason_codes(network), share(why, 1)), '","state":"', state,
      '","paid_at":', paid_at, ',"captured_at":', captured_at, ',"opened_at":', opened_at, ',"closed_at":', closed_at,
      ',"created_at":', made_us, ',"updated_at":', commit_us, '}'
    ),
    commit_us, lsn, connector_lag_us(4 * record_no + kind)
  ) AS line
  FROM written
)

SELECT line_no, CASE malformed
  WHEN 0 THEN left(line, 240)
  WHEN 1 THEN '{"after": {"dispute_id": null'
  WHEN 7 THEN 'upstream connect error or disconnect/reset before headers'
  ELSE line
END AS line
FROM enveloped
