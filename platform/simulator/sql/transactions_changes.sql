-- Changes that payments commit on one day. Reads `landed (no, created_us, day)`: payments of this and of earlier days.
-- Kinds: 0 row made, 1 captured, 2 refunded or charged back.
SELECT no, created_us, CAST(0 AS TINYINT) AS kind, created_us AS commit_us
FROM landed
WHERE day = $day
UNION ALL
SELECT no, created_us, CAST(1 AS TINYINT), captured_us(no, created_us)
FROM landed
-- A capture comes within 20 hours.
WHERE day >= $day - 1 AND fate(no) >= 2 AND captured_us(no, created_us) BETWEEN $day_us AND $day_us + 86399999999
UNION ALL
SELECT no, created_us, CAST(2 AS TINYINT), final_us(no, created_us)
FROM landed
WHERE fate(no) >= 3 AND final_us(no, created_us) BETWEEN $day_us AND $day_us + 86399999999
