-- Malformed lines of some days, as in `transactions_malformed.sql` and `returns_malformed.sql` for one day: their numbers and times.
SELECT first + n AS no, day_us + slot_us(first + n, n, lines) AS at_us
FROM (
  SELECT first, lines, day_us, unnest(range(lines)) AS n
  FROM malformed_days
  WHERE day BETWEEN $from_day AND $to_day
)
