-- The archive's payments: `no, customer, merchant, paid_on, region, currency, cents, status, is_recurring`.
WITH drawn AS (
  SELECT 1 + n AS no, draw(1 + n, 'legacy') AS bits, draw(1 + n, 'legacy parties') AS parties
  FROM range($rows) AS numbers (n)
),

matched AS (
  SELECT no, bits,
    1 + CAST(floor(getvariable('first_customers') * fine_share(parties, 0)) AS BIGINT) AS customer,
    1 + CAST(floor(getvariable('first_merchants') * pow(fine_share(parties, 1), 2)) AS BIGINT) AS merchant,
    $month_day + (no - 1) * $month_days // $rows AS paid_on
  FROM drawn
)

SELECT no, customer, merchant, paid_on,
  merchant_region(merchant) AS region,
  currency_of(merchant_region(merchant), share(bits, 0)) AS currency,
  CASE
    WHEN currency_of(merchant_region(merchant), share(bits, 0)) = 'JPY'
      THEN 100 * CAST(round(exp(pick(category_levels(), merchant_category(merchant)) + 2 * share(bits, 1) - 1) * 150) AS BIGINT)
    ELSE CAST(round(100 * exp(pick(category_levels(), merchant_category(merchant)) + 2 * share(bits, 1) - 1)) AS BIGINT)
  END AS cents,
  CASE
    WHEN share(bits, 2) < 0.80 THEN 'CAPTURED' WHEN share(bits, 2) < 0.86 THEN 'AUTHORIZED'
    WHEN share(bits, 2) < 0.95 THEN 'FAILED' WHEN share(bits, 2) < 0.99 THEN 'REFUNDED' ELSE 'CHARGEBACK'
  END AS status,
  share(bits, 3) < 0.25 AS is_recurring
FROM matched
