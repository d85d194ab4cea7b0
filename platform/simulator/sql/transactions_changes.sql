-- Changes that payments commit on one day. Reads `landed (no, created_us, day)`, payments of this day and
-- of the day before, and `returned`, including those of earlier days that are given back.
-- Kinds: 0 row made, 1 captured, 2 refunded or charged back.
SELECT no, created_us, CAST(0 AS TINYINT) AS kind, created_us AS commit_us
FROM landed
WHERE day = $day
UNION ALL
SELECT no, created_us, CAST(1 AS TINYINT), captured_us(no, created_us)
FROM landed
WHERE fate(no) >= 2 AND captured_us(no, created_us) BETWEEN $day_us AND $day_us + 86399999999
UNION ALL
SELECT no, created_us, CAST(2 AS TINYINT), final_us
FROM returned
WHERE fate >= 3 AND final_us BETWEEN $day_us AND $day_us + 86399999999
