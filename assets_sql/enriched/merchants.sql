-- One row for every time span in which nothing about a merchant changed (SCD2).
WITH documents AS (
  SELECT
    merchant_id, name, mcc, country, region, city, active, time_zone, valid_from, valid_to, _ingested_at, _source,
    TRY_CAST(terms AS JSON) AS terms
  FROM history.merchants
),

standard AS (
  SELECT
    merchant_id,
    valid_from,
    valid_to,
    -- States that were replaced within the same database transaction never took effect.
    valid_to IS NULL OR valid_to > valid_from AS was_in_force,
    nullif(trim(name), '') AS merchant_name,
    CASE WHEN length(trim(mcc)) BETWEEN 1 AND 3 THEN lpad(trim(mcc), 4, '0') ELSE nullif(trim(mcc), '') END AS mcc,
    upper(trim(country)) AS country,
    upper(trim(region)) AS region,
    nullif(trim(city), '') AS city,
    TRY_CAST(terms ->> '$.settlement_days' AS BIGINT) AS settlement_days,
    TRY_CAST(terms ->> '$.fee_percent' AS DECIMAL(9,4)) AS fee_percent,
    TRY_CAST(terms ->> '$.fixed_fee_usd' AS DECIMAL(18,2)) AS fixed_fee_usd,
    TRY_CAST(terms ->> '$.cost_percent' AS DECIMAL(9,4)) AS cost_percent,
    nullif(trim(terms ->> '$.partner'), '') AS partner,
    -- Only names known to DuckDB: any other would fail wherever the zone is used.
    (SELECT min(zone.name) FROM pg_timezone_names() AS zone WHERE zone.name = trim(documents.time_zone)) AS time_zone,
    CASE
      WHEN lower(trim(active)) IN ('y', 'yes', 't', 'true', '1') THEN true
      WHEN lower(trim(active)) IN ('n', 'no', 'f', 'false', '0') THEN false
    END AS is_active,
    _ingested_at,
    _source
  FROM documents
),

neighbours AS (
  SELECT
    merchant_id, valid_from, valid_to, was_in_force, merchant_name, mcc, country, region, city, settlement_days,
    fee_percent, fixed_fee_usd, cost_percent, partner, time_zone, is_active, _ingested_at, _source,
    {'name': merchant_name, 'mcc': mcc, 'country': country, 'region': region, 'city': city,
     'days': settlement_days, 'fee': fee_percent, 'fixed': fixed_fee_usd, 'cost': cost_percent, 'partner': partner,
     'zone': time_zone, 'active': is_active} AS state,
    lag({'name': merchant_name, 'mcc': mcc, 'country': country, 'region': region, 'city': city,
         'days': settlement_days, 'fee': fee_percent, 'fixed': fixed_fee_usd, 'cost': cost_percent, 'partner': partner,
         'zone': time_zone, 'active': is_active}) OVER by_time AS state_before,
    lag(valid_to) OVER by_time AS valid_to_before
  FROM standard
  WINDOW by_time AS (PARTITION BY merchant_id, was_in_force ORDER BY valid_from)
),

-- States that differ only in notation ('Y' and 'true') form one span; a merchant that was deleted begins a new one.
numbered AS (
  SELECT
    merchant_id, valid_from, valid_to, was_in_force, merchant_name, mcc, country, region, city, settlement_days,
    fee_percent, fixed_fee_usd, cost_percent, partner, time_zone, is_active, _ingested_at, _source,
    count(*) FILTER (
      WHERE NOT was_in_force OR state_before IS DISTINCT FROM state OR valid_to_before IS DISTINCT FROM valid_from
    ) OVER (
      PARTITION BY merchant_id, was_in_force ORDER BY valid_from ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS span
  FROM neighbours
)

SELECT
  merchant_id,
  min(valid_from) AS valid_from,
  CASE WHEN count(*) = count(valid_to) THEN max(valid_to) END AS valid_to,
  count(*) > count(valid_to) AS is_current,
  min(merchant_name) AS merchant_name,
  min(mcc) AS mcc,
  min(country) AS country,
  min(region) AS region,
  min(city) AS city,
  min(settlement_days) AS settlement_days,
  min(fee_percent) AS fee_percent,
  min(fixed_fee_usd) AS fixed_fee_usd,
  min(cost_percent) AS cost_percent,
  min(partner) AS partner,
  min(time_zone) AS time_zone,
  bool_and(is_active) AS is_active,
  count(*) AS state_count,
  max(_ingested_at) AS ingestion_timestamp,
  min(_source) AS data_source
FROM numbered
GROUP BY merchant_id, was_in_force, span
