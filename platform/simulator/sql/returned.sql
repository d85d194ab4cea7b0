-- Payments with returns, with the times of their states. Reads `landed (no, created_us, day)`.
SELECT day, no, created_us, fate(no) AS fate, captured_us(no, created_us) AS captured_us,
  CASE WHEN fate(no) >= 3 THEN final_us(no, created_us) END AS final_us
FROM landed
WHERE fate(no) >= 3 OR is_partly_refunded(no)
