-- Disputes that have landed by the end of the simulation (`horizon_us`), in their last state. Reads `valued`.
SELECT opened_us // 86400000000 AS opened_on, region, currency, disputed_cents(record_no, cents, currency) AS cents,
  CASE WHEN closed_us < $horizon_us THEN dispute_state(record_no) ELSE 'open' END AS state,
  1 + coalesce(closed_us < $horizon_us, false)::BIGINT AS changes,
  is_duplicated(4 * record_no)::BIGINT
    + (coalesce(closed_us < $horizon_us, false) AND is_duplicated(4 * record_no + 1))::BIGINT AS duplicates
FROM valued
WHERE opened_us < $horizon_us
