-- Changes of refunds or of disputes (`given_back`) that are committed on one day. Kinds: 0 row made, 1 settled or closed.
SELECT no, created_us, captured_us, opened_us, closed_us, CAST(0 AS TINYINT) AS kind, opened_us + late_us AS commit_us
FROM given_back
WHERE opened_us + late_us BETWEEN $day_us AND $day_us + 86399999999
UNION ALL
SELECT no, created_us, captured_us, opened_us, closed_us, CAST(1 AS TINYINT), closed_us + late_us
FROM given_back
WHERE closed_us + late_us BETWEEN $day_us AND $day_us + 86399999999
