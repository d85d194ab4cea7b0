-- Changes of merchants committed on one day. Kinds: 0 snapshot read, 1 joined, 2 changed.
WITH first_merchants AS (
  SELECT 1 + n AS no FROM range(getvariable('first_merchants')) AS numbers (n)
)

SELECT no, CAST(0 AS TINYINT) AS kind, $day_us + no AS commit_us
FROM first_merchants
WHERE $day = 0
UNION ALL
SELECT no, CAST(1 AS TINYINT), joined_us(no, $day)
FROM (SELECT merchants_before($day) + 1 + n AS no FROM range(getvariable('new_merchants')) AS numbers (n))
UNION ALL
SELECT no, CAST(2 AS TINYINT),
  $day_us + CAST(floor(fine_share(draw(no * 4096 + $day, 'terms at'), 0) * 86400000000) AS BIGINT)
FROM first_merchants
-- At least one changes, so that even the smallest company has a history.
WHERE $day > 0 AND (
  share(draw(no * 4096 + $day, 'terms'), 0) < 0.01
  OR no = 1 + remainder(draw($day, 'merchant of the day'), getvariable('first_merchants'))
)
