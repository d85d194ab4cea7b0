-- The values of payments that never change, from their number and the time their row was made.
-- Reads `payment (no, created_us, …)` and keeps its columns.
WITH drawn AS (
  SELECT *,
    draw(no, 'parties') AS parties,
    draw(no, 'amount') AS amounts,
    draw(no, 'kind') AS kinds,
    created_us // 1000000 - 86400 * days_late(no) AS paid_s
  FROM payment
),

dated AS (
  SELECT *, paid_s // 86400 - getvariable('start_day') AS paid_day FROM drawn
),

-- The customer registers only after the payment, so there must be a later day.
checked AS (
  SELECT *,
    share(kinds, 3) < 0.0005 AND paid_day + 1 < getvariable('days') AS is_early
  FROM dated
),

-- Some customers pay more than others; few merchants are paid by most (a share that falls with the root of the rank).
matched AS (
  SELECT *,
    CASE
      WHEN is_early THEN customers_before(paid_day + 1) + 1 + remainder(parties, getvariable('new_customers'))
      ELSE 1 + CAST(floor(
        customers_before(paid_day) * fine_share(parties, 0) * (0.5 + 0.5 * fine_share(parties, 0))
      ) AS BIGINT)
    END AS customer,
    1 + CAST(floor(merchants_before(paid_day) * pow(fine_share(parties, 1), 2)) AS BIGINT) AS merchant
  FROM checked
),

placed AS (
  SELECT *, merchant_region(merchant) AS region FROM matched
),

priced AS (
  SELECT *, currency_of(region, share(kinds, 0)) AS currency,
    -- Four uniform draws make a bell curve; its deviation is 0.577.
    exp(
      pick(category_levels(), merchant_category(merchant))
      + 1.4 * (share(amounts, 0) + share(amounts, 1) + share(amounts, 2) + share(amounts, 3) - 2)
    ) AS dollars
  FROM placed
),

converted AS (
  SELECT *,
    CASE
      WHEN currency = 'JPY' THEN 100 * CAST(round(dollars * 150) AS BIGINT)
      -- A fifth of all prices are round.
      WHEN remainder(amounts, 5) = 0 THEN 100 * CAST(ceil(dollars * CASE currency WHEN 'BRL' THEN 5 ELSE 1 END) AS BIGINT)
      ELSE CAST(round(100 * dollars * CASE currency WHEN 'BRL' THEN 5 ELSE 1 END) AS BIGINT)
    END AS unbounded_cents
  FROM priced
)

SELECT * EXCLUDE (parties, amounts, dollars, unbounded_cents),
  -- 0.01 to 1,000,000, whatever the currency.
  greatest(1, least(100000000, unbounded_cents)) AS cents
FROM converted
