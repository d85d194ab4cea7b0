-- One row per calendar day and currency: units of the currency for one euro.
-- A rate holds until the next one is published, for at most 10 more days: weekends and holidays are bridged, and a currency
-- that is no longer quoted ends.
WITH published AS (
  SELECT
    date AS source_date,
    currency,
    rate,
    lead(date) OVER (PARTITION BY currency ORDER BY date) AS next_date,
    _ingested_at,
    _source
  FROM latest.fx_rates
),

held AS (
  SELECT
    source_date, currency, rate, _ingested_at, _source,
    unnest(range(0, least(coalesce(next_date - source_date, 11), 11))) AS days_filled
  FROM published
),

-- The euro is listed as a currency, so that a conversion is one join.
euro AS (
  SELECT
    source_date + CAST(days_filled AS INTEGER) AS rate_date,
    max(_ingested_at) AS _ingested_at,
    min(_source) AS _source
  FROM held
  GROUP BY source_date + CAST(days_filled AS INTEGER)
)

SELECT
  source_date + CAST(days_filled AS INTEGER) AS rate_date,
  currency,
  rate,
  source_date,
  days_filled > 0 AS is_filled,
  days_filled,
  _ingested_at AS ingestion_timestamp,
  _source AS data_source
FROM held
UNION ALL
SELECT
  rate_date,
  'EUR' AS currency,
  1 AS rate,
  rate_date AS source_date,
  false AS is_filled,
  0 AS days_filled,
  _ingested_at AS ingestion_timestamp,
  _source AS data_source
FROM euro
