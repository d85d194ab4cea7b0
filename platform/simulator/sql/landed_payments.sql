-- Payments by the day they land on: `no, created_us, day`. Payments are numbered from 1 without gaps.
SELECT first + n AS no, day_us + slot_us(first + n, n, payments) AS created_us, day
FROM (
  SELECT day, first, payments, day_us, unnest(range(payments)) AS n
  FROM landings
  WHERE day BETWEEN $from_day AND $to_day
)
