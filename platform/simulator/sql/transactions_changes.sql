-- Changes committed on one day by payments that first landed on one (the same or an earlier) day.
-- Kinds: 0 row made, 1 captured, 2 refunded or charged back.
WITH landed AS (
  SELECT $first + n AS no, $landed_us + slot_us($first + n, n, $payments) AS created_us
  FROM range($payments) AS slots (n)
)

SELECT no, created_us, CAST(0 AS TINYINT) AS kind, created_us AS commit_us
FROM landed
WHERE $landed_us = $day_us
UNION ALL
SELECT no, created_us, CAST(1 AS TINYINT), captured_us(no, created_us)
FROM landed
WHERE fate(no) >= 2 AND captured_us(no, created_us) BETWEEN $day_us AND $day_us + 86399999999
UNION ALL
SELECT no, created_us, CAST(2 AS TINYINT), final_us(no, created_us)
FROM landed
WHERE fate(no) >= 3 AND final_us(no, created_us) BETWEEN $day_us AND $day_us + 86399999999
