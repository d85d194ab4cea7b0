-- Refunds, whenever they are made: their number, the payment's times, when they are requested and settled, and how much later
-- their rows are written. Reads `returned`.
WITH part AS (
  SELECT 4 * no AS no, created_us, captured_us, final_us, fate FROM returned WHERE fate IN (2, 3)
  UNION ALL
  SELECT 4 * no + 1, created_us, captured_us, final_us, fate FROM returned WHERE fate = 3 AND has_two_refunds(no)
  UNION ALL
  SELECT 4 * no + 2, created_us, captured_us, final_us, fate FROM returned WHERE fate = 3 AND has_failed_refund(no)
),

drawn AS (
  SELECT *, draw(no, 'refund') AS bits, final_us - captured_us AS span_us FROM part
),

asked AS (
  SELECT *, captured_us + CASE
    -- In part: two hours to ten days after the capture, as whole refunds.
    WHEN fate = 2 THEN 7200000000 + CAST(floor(pow(share(bits, 0), 2) * 855360000000) AS BIGINT)
    WHEN no % 4 = 2 THEN span_us // 100
    WHEN no % 4 = 1 THEN CAST(floor(span_us * (0.5 + 0.3 * share(bits, 0))) AS BIGINT)
    WHEN has_two_refunds(no // 4) THEN CAST(floor(span_us * (0.05 + 0.2 * share(bits, 0))) AS BIGINT)
    ELSE CAST(floor(span_us * (0.2 + 0.6 * share(bits, 0))) AS BIGINT)
  END AS opened_us
  FROM drawn
)

SELECT no, created_us, captured_us, opened_us,
  CASE
    WHEN fate = 2 THEN opened_us + 600000000 + CAST(floor(share(bits, 1) * 259200000000) AS BIGINT)
    WHEN no % 4 = 2 THEN opened_us + span_us // 25
    WHEN no % 4 = 0 AND has_two_refunds(no // 4) THEN opened_us + span_us // 5
    ELSE final_us
  END AS closed_us,
  -- Only partial ones are reported late: a payment is never refunded before its refunds are known.
  CASE
    WHEN fate = 2 AND share(bits, 2) < 0.06 THEN 86400000000 * (1 + CAST(floor(share(bits, 3) * 9) AS BIGINT)) ELSE 0
  END AS late_us
FROM asked
