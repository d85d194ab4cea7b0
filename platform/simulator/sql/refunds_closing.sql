-- Refunds as the payment service has booked them: booking day, value day, currency and amount. Reads `valued`.
-- Malformed lines (kind 3) are written as in `refunds_lines.sql`; those that are rows with a day are booked as they are.
SELECT commit_us // 86400000000 - getvariable('start_day') AS day, opened_us // 86400000000 AS of_day,
  CASE WHEN kind = 3 AND record_no % 8 = 3 THEN 'XXX' ELSE currency END AS currency,
  CASE
    WHEN kind = 3 AND record_no % 8 = 2 THEN NULL
    WHEN kind = 3 AND record_no % 8 = 4 THEN -refund_cents(record_no, cents, currency)
    ELSE refund_cents(record_no, cents, currency)
  END AS cents
FROM valued
WHERE kind = 0 OR record_no % 8 IN (2, 3, 4, 6)
