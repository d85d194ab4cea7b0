-- The lines of merchants' records. Reads `record (line_no, no, kind, commit_us, lsn)`.
-- A change sets new terms and, for one in three, another category, for one in five another partner; name and place stay.
WITH drawn AS (
  SELECT *,
    CASE WHEN kind = 2 THEN 1 + commit_us // 86400000000 - getvariable('start_day') ELSE 0 END AS version,
    draw(no, 'merchant') AS merchant,
    merchant_region(no) AS region
  FROM record
),

settled AS (
  SELECT *,
    draw(no * 4096 + version, 'settled') AS terms,
    draw(no * 4096 + version, 'agreed') AS agreed,
    draw(no, 'partner') AS brought,
    90 + CAST(floor(share(draw(no * 4096 + version, 'settled'), 3) * 260) AS BIGINT) AS fee_cents,
    pick(places(region), share(merchant, 2)) AS place,
    CASE
      WHEN kind = 0 THEN (start_s() - 86400 * (90 + CAST(floor(share(merchant, 3) * 1000) AS BIGINT))) * 1000000
      WHEN kind = 1 THEN commit_us
      ELSE (start_s() - 86400 * (90 + CAST(floor(share(merchant, 3) * 1000) AS BIGINT))) * 1000000
    END AS created_us
  FROM drawn
)

SELECT line_no, envelope(
  'merchants', CASE kind WHEN 0 THEN 'r' WHEN 1 THEN 'c' ELSE 'u' END, 'null',
  concat(
    '{"merchant_id":"', identifier('mer_', no), '","name":"',
    pick(['Alder', 'Blue', 'Cedar', 'Delta', 'Ember', 'Fjord', 'Golden', 'Harbour', 'Iris', 'Juniper'], share(hash(merchant), 0)),
    ' ', pick(['Market', 'Trading', 'Goods', 'Partners', 'Supply', 'House', 'Works', 'Co.'], share(hash(merchant), 1)),
    ' ', no, '","mcc":"',
    pick(categories(), CASE WHEN version > 0 AND share(terms, 0) < 0.33 THEN share(terms, 1) ELSE merchant_category(no) END),
    '","country":"', country_of(place), '","region":"', region, '","city":"', city_of(place),
    '","terms":"{\"settlement_days\": ', 1 + CAST(floor(share(terms, 2) * 7) AS BIGINT),
    ', \"fee_percent\": ', plain_amount(fee_cents),
    ', \"fixed_fee_usd\": ', plain_amount(5 * CAST(floor(share(agreed, 0) * 7) AS BIGINT)),
    ', \"cost_percent\": ', plain_amount(CAST(floor(fee_cents * (0.35 + 0.4 * share(agreed, 1))) AS BIGINT)),
    ', \"partner\": ', partner_json(CASE WHEN version > 0 AND share(agreed, 2) < 0.20 THEN share(agreed, 3) ELSE share(brought, 0) END),
    '}","active":', flag_json(share(hash(terms), 0) < 0.97, share(hash(terms), 1)), ',"time_zone":"', zone_of(place), '"',
    ',"created_at":', created_us,
    ',"updated_at":', CASE WHEN kind = 0 THEN created_us ELSE commit_us END, '}'
  ),
  commit_us, lsn, connector_lag_us(no)
) AS line
FROM settled
