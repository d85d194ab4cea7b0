-- Changes of customers committed on one day.
-- Kinds: 0 snapshot read, 1 registered, 2 changed, 3 deleted; at most one change of a customer a day.
WITH first_customers AS (
  SELECT 1 + n AS no FROM range(getvariable('first_customers')) AS numbers (n)
)

SELECT no, CAST(0 AS TINYINT) AS kind, $day_us + no AS commit_us
FROM first_customers
WHERE $day = 0
UNION ALL
SELECT no, CAST(1 AS TINYINT), joined_us(no, $day)
FROM (SELECT customers_before($day) + 1 + n AS no FROM range(getvariable('new_customers')) AS numbers (n))
UNION ALL
SELECT no, CAST(2 AS TINYINT),
  $day_us + CAST(floor(fine_share(draw(no * 4096 + $day, 'changed at'), 0) * 86400000000) AS BIGINT)
FROM first_customers
WHERE $day > 0 AND share(draw(no * 4096 + $day, 'changed'), 0) < 0.01
  AND coalesce(deleted_day(no) > $day, true)
UNION ALL
SELECT no, CAST(3 AS TINYINT),
  $day_us + CAST(floor(fine_share(draw(no, 'deleted at'), 0) * 86400000000) AS BIGINT)
FROM first_customers
WHERE deleted_day(no) = $day
