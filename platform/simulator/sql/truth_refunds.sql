-- Refunds that have landed by the end of the simulation (`horizon_us`), in their last state. Reads `valued`.
SELECT opened_us // 86400000000 AS opened_on, region, currency, refund_cents(record_no, cents, currency) AS cents,
  CASE WHEN closed_us + late_us < $horizon_us THEN refund_state(record_no) ELSE 'pending' END AS state,
  1 + (closed_us + late_us < $horizon_us)::BIGINT AS changes,
  is_duplicated(4 * record_no)::BIGINT
    + (closed_us + late_us < $horizon_us AND is_duplicated(4 * record_no + 1))::BIGINT AS duplicates
FROM valued
WHERE opened_us + late_us < $horizon_us
