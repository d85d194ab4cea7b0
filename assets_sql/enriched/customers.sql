-- One row a customer: the latest profile, flattened.
WITH documents AS (
  SELECT
    customer_id, email, status, registered_at, updated_at, _ingested_at, _source,
    -- A profile that is no JSON leaves the customer without details, not the table without customers.
    TRY_CAST(profile AS JSON) AS profile
  FROM latest.customers
),

parts AS (
  SELECT
    customer_id, email, status, registered_at, updated_at, _ingested_at, _source,
    json_extract(profile, '$.personal_information') AS person,
    json_extract(profile, '$.preferences') AS preferences,
    coalesce(
      from_json(
        json_extract(profile, '$.addresses'),
        '[{"type": "VARCHAR", "line1": "VARCHAR", "city": "VARCHAR", "postal_code": "VARCHAR",
           "country": "VARCHAR", "region": "VARCHAR"}]'
      ),
      []
    ) AS addresses
  FROM documents
),

addressed AS (
  SELECT
    customer_id, email, status, registered_at, updated_at, _ingested_at, _source, person, preferences,
    len(addresses) AS address_count,
    list_filter(addresses, lambda address: lower(trim(address.type)) = 'billing')[1] AS billing,
    list_filter(addresses, lambda address: lower(trim(address.type)) = 'shipping')[1] AS shipping
  FROM parts
),

flattened AS (
  SELECT
    customer_id,
    lower(trim(email)) AS email,
    lower(trim(status)) AS status,
    CASE
      WHEN contains(registered_at, '-') THEN make_timestamp(epoch_us(TRY_CAST(registered_at AS TIMESTAMPTZ)))
      WHEN contains(registered_at, '/')
        THEN try_strptime(trim(registered_at), ['%m/%d/%Y %H:%M:%S', '%m/%d/%Y'])
      WHEN regexp_full_match(trim(registered_at), '[0-9]{9,10}')
        THEN make_timestamp(1000000 * TRY_CAST(registered_at AS BIGINT))
    END AS registered_at,
    nullif(trim(person ->> '$.first_name'), '') AS first_name,
    nullif(trim(person ->> '$.last_name'), '') AS last_name,
    person ->> '$.date_of_birth' AS date_of_birth,
    nullif(trim(person ->> '$.phone'), '') AS phone,
    billing,
    shipping,
    address_count,
    lower(trim(preferences ->> '$.notifications.email.enabled')) AS email_enabled,
    lower(trim(preferences ->> '$.notifications.sms.enabled')) AS sms_enabled,
    lower(trim(preferences ->> '$.notifications.push.enabled')) AS push_enabled,
    preferences ->> '$.notifications.email.frequency' AS notification_frequency,
    preferences ->> '$.language' AS language,
    preferences ->> '$.display.theme' AS theme,
    upper(trim(preferences ->> '$.display.currency')) AS preferred_currency,
    updated_at,
    _ingested_at,
    _source
  FROM addressed
)

SELECT
  customer_id,
  email,
  status,
  make_timestamptz(epoch_us(registered_at)) AS registered_at,
  first_name,
  last_name,
  nullif(concat_ws(' ', first_name, last_name), '') AS full_name,
  CASE
    WHEN contains(date_of_birth, '/') THEN CAST(try_strptime(trim(date_of_birth), '%m/%d/%Y') AS DATE)
    ELSE TRY_CAST(left(trim(date_of_birth), 10) AS DATE)
  END AS date_of_birth,
  phone,
  billing.line1 AS billing_line1,
  billing.city AS billing_city,
  billing.postal_code AS billing_postal_code,
  billing.country AS billing_country,
  billing.region AS billing_region,
  shipping.line1 AS shipping_line1,
  shipping.city AS shipping_city,
  shipping.postal_code AS shipping_postal_code,
  shipping.country AS shipping_country,
  shipping.region AS shipping_region,
  address_count,
  CASE
    WHEN email_enabled IN ('y', 'yes', 't', 'true', '1') THEN true
    WHEN email_enabled IN ('n', 'no', 'f', 'false', '0') THEN false
  END AS email_notifications,
  CASE
    WHEN sms_enabled IN ('y', 'yes', 't', 'true', '1') THEN true
    WHEN sms_enabled IN ('n', 'no', 'f', 'false', '0') THEN false
  END AS sms_notifications,
  CASE
    WHEN push_enabled IN ('y', 'yes', 't', 'true', '1') THEN true
    WHEN push_enabled IN ('n', 'no', 'f', 'false', '0') THEN false
  END AS push_notifications,
  notification_frequency,
  language,
  theme,
  preferred_currency,
  make_timestamptz(updated_at) AS updated_at,
  _ingested_at AS ingestion_timestamp,
  _source AS data_source
FROM flattened
