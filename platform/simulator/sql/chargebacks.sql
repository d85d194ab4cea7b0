-- Disputes, whenever they are opened: their number, which is the payment's, its times, when they are opened and closed. Reads
-- `returned`.
SELECT no, created_us, captured_us, final_us AS opened_us,
  -- One to 45 days; null for disputes that stay open.
  CASE WHEN dispute_state(no) <> 'open'
    THEN final_us + 86400000000 + CAST(floor(pow(share(draw(no, 'dispute'), 2), 2) * 3801600000000) AS BIGINT)
  END AS closed_us,
  0 AS late_us
FROM returned
WHERE fate = 4
