-- Malformed lines of one day of refunds or of disputes, as changes of kind 3. Their numbers are their own.
SELECT no, at_us AS created_us, at_us AS captured_us, at_us AS opened_us, at_us AS closed_us,
  CAST(3 AS TINYINT) AS kind, at_us AS commit_us
FROM (
  SELECT $first + n AS no, $day_us + slot_us($first + n, n, $lines) AS at_us
  FROM range($lines) AS slots (n)
)
