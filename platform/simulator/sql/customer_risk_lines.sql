-- One day's answers of the scoring service: every customer on the first day, then one in five. Scores drift; a date's score
-- is the same in the answer of that date and in later histories.
WITH scored AS (
  SELECT 1 + n AS no, draw((1 + n) * 4096 + $day, 'scored') AS bits
  FROM range(customers_before($day + 1)) AS numbers (n)
),

answered AS (
  SELECT no, bits, risk_score(no, $day) AS score,
    list_slice([1, 7, 30], 1, CAST(floor(share(bits, 1) * 4) AS BIGINT)) AS days_back,
    list_slice(
      ['new_device', 'country_mismatch', 'velocity', 'night_activity', 'chargeback_history'],
      1 + CAST(floor(share(bits, 2) * 3) AS BIGINT), 3 + CAST(floor(share(bits, 2) * 3) AS BIGINT)
    ) AS factors
  FROM scored
  WHERE ($day = 0 OR share(bits, 0) < 0.20) AND coalesce(deleted_day(no) > $day, true)
)

SELECT row_number() OVER (ORDER BY no) - 1 AS line_no, concat(
  '{"customer_id":"', identifier('cust_', no),
  '","scored_at":"', replace(CAST(make_timestamp(
    (start_s() + 86400 * $day + 10800 + CAST(floor(share(bits, 3) * 3600) AS BIGINT)) * 1000000
  ) AS VARCHAR), ' ', 'T'),
  'Z","model":"v3","score":', score,
  ',"band":"', CASE WHEN score < 40 THEN 'low' WHEN score < 75 THEN 'medium' ELSE 'high' END,
  '","factors":[', array_to_string(list_transform(factors, lambda factor, place: concat(
    '{"name":"', factor, '","weight":0.', 60 // place + remainder(bits, 20), '}'
  )), ','),
  '],"history":[', array_to_string(list_transform(days_back, lambda back: concat(
    '{"date":"', CAST(make_date(CAST(getvariable('start_day') + $day - back AS INTEGER)) AS VARCHAR),
    '","score":', risk_score(no, $day - back), '}'
  )), ','), ']}'
) AS line
FROM answered
