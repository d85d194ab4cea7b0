-- One row per calendar day and currency except the dollar: the factor and divisor that convert an amount to dollars.
WITH dollar AS (
  SELECT rate_date, rate AS dollars_for_a_euro, source_date
  FROM enriched.fx_rates
  WHERE currency = 'USD'
),

-- DuckDB divides decimals as floats; rates are kept as whole numbers of 10^-8 instead.
conversion AS (
  SELECT
    quoted.rate_date,
    quoted.currency,
    -- The older of two rates; for the euro it is the dollar's, because the euro itself is never published.
    CASE WHEN dollar.rate_date IS NOT NULL THEN least(quoted.source_date, dollar.source_date) END AS source_date,
    CAST(CAST(dollar.dollars_for_a_euro AS DECIMAL(38,8)) * 100000000 AS BIGINT) AS dollars,
    CAST(CAST(quoted.rate AS DECIMAL(38,8)) * 100000000 AS BIGINT) AS units,
    quoted.ingestion_timestamp,
    quoted.data_source
  FROM enriched.fx_rates AS quoted
  LEFT JOIN dollar ON dollar.rate_date = quoted.rate_date
  WHERE quoted.currency <> 'USD'
)

SELECT
  rate_date,
  currency,
  source_date,
  dollars,
  units,
  CAST((2 * CAST(dollars AS HUGEINT) * 100000000 + units) // (2 * units) AS DECIMAL(18,0)) * 0.00000001 AS rate_to_usd,
  ingestion_timestamp,
  data_source
FROM conversion
