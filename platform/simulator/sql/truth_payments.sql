-- The last state of payments that landed on one day, at the end of the simulation (`horizon_us`). Reads `valued`.
SELECT no, is_early, paid_s // 86400 AS paid_on, region, currency, cents,
  CASE
    WHEN fate(no) = 0 THEN 'failed'
    WHEN fate(no) = 3 AND final_us(no, created_us) < $horizon_us THEN 'refunded'
    WHEN fate(no) = 4 AND final_us(no, created_us) < $horizon_us THEN 'chargeback'
    WHEN fate(no) >= 2 AND captured_us(no, created_us) < $horizon_us THEN 'captured'
    ELSE 'authorized'
  END AS status,
  is_duplicated(4 * no)::BIGINT
    + (fate(no) >= 2 AND captured_us(no, created_us) < $horizon_us AND is_duplicated(4 * no + 1))::BIGINT
    + (fate(no) >= 3 AND final_us(no, created_us) < $horizon_us AND is_duplicated(4 * no + 2))::BIGINT AS duplicates,
  1 + (fate(no) >= 2 AND captured_us(no, created_us) < $horizon_us)::BIGINT
    + (fate(no) >= 3 AND final_us(no, created_us) < $horizon_us)::BIGINT AS changes
FROM valued
