-- One row for every time span in which nothing about a customer changed (SCD2).
WITH documents AS (
  SELECT
    customer_id, email, status, registered_at, updated_at, valid_from, valid_to, _ingested_at, _source,
    -- Parsed once for all its fields.
    -- A profile that is not JSON leaves the customer without details instead of failing the table.
    from_json(
      TRY_CAST(profile AS JSON),
      '{"personal_information": {"first_name": "VARCHAR", "last_name": "VARCHAR", "date_of_birth": "VARCHAR", "phone": "VARCHAR"},
        "preferences": {
          "notifications": {
            "email": {"enabled": "VARCHAR", "frequency": "VARCHAR"}, "sms": {"enabled": "VARCHAR"}, "push": {"enabled": "VARCHAR"}
          },
          "language": "VARCHAR", "display": {"theme": "VARCHAR", "currency": "VARCHAR"}
        },
        "addresses": [{"type": "VARCHAR", "line1": "VARCHAR", "city": "VARCHAR", "postal_code": "VARCHAR",
          "country": "VARCHAR", "region": "VARCHAR"}]}'
    ) AS profile
  FROM history.customers
),

addressed AS (
  SELECT
    customer_id, email, status, registered_at, updated_at, valid_from, valid_to, _ingested_at, _source,
    profile.personal_information AS person,
    profile.preferences AS preferences,
    coalesce(len(profile.addresses), 0) AS address_count,
    list_filter(profile.addresses, lambda address: lower(trim(address.type)) = 'billing')[1] AS billing,
    list_filter(profile.addresses, lambda address: lower(trim(address.type)) = 'shipping')[1] AS shipping
  FROM documents
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
    nullif(trim(person.first_name), '') AS first_name,
    nullif(trim(person.last_name), '') AS last_name,
    person.date_of_birth AS date_of_birth,
    nullif(trim(person.phone), '') AS phone,
    billing,
    shipping,
    address_count,
    lower(trim(preferences.notifications.email.enabled)) AS email_enabled,
    lower(trim(preferences.notifications.sms.enabled)) AS sms_enabled,
    lower(trim(preferences.notifications.push.enabled)) AS push_enabled,
    preferences.notifications.email.frequency AS notification_frequency,
    preferences.language AS language,
    preferences.display.theme AS theme,
    upper(trim(preferences.display.currency)) AS preferred_currency,
    updated_at,
    valid_from,
    valid_to,
    _ingested_at,
    _source
  FROM addressed
),

standard AS (
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
    updated_at,
    valid_from,
    valid_to,
    -- States that were replaced within the same database transaction never took effect.
    valid_to IS NULL OR valid_to > valid_from AS was_in_force,
    _ingested_at,
    _source
  FROM flattened
),

-- Most customers have had only one state, which is a span by itself; only the states of the others are compared.
several AS (
  SELECT customer_id
  FROM standard
  GROUP BY customer_id
  HAVING count(*) > 1
),

packed AS (
  SELECT
    *,
    {'email': email, 'status': status, 'registered_at': registered_at, 'first_name': first_name,
     'last_name': last_name, 'full_name': full_name, 'date_of_birth': date_of_birth, 'phone': phone,
     'billing_line1': billing_line1, 'billing_city': billing_city, 'billing_postal_code': billing_postal_code,
     'billing_country': billing_country, 'billing_region': billing_region, 'shipping_line1': shipping_line1,
     'shipping_city': shipping_city, 'shipping_postal_code': shipping_postal_code,
     'shipping_country': shipping_country, 'shipping_region': shipping_region, 'address_count': address_count,
     'email_notifications': email_notifications, 'sms_notifications': sms_notifications,
     'push_notifications': push_notifications, 'notification_frequency': notification_frequency,
     'language': language, 'theme': theme, 'preferred_currency': preferred_currency} AS state
  FROM standard
  SEMI JOIN several USING (customer_id)
),

neighbours AS (
  SELECT
    *,
    lag(state) OVER by_time AS state_before,
    lag(valid_to) OVER by_time AS valid_to_before
  FROM packed
  WINDOW by_time AS (PARTITION BY customer_id, was_in_force ORDER BY valid_from)
),

-- States that differ only in notation form one span; a customer that was deleted begins a new one.
numbered AS (
  SELECT
    *,
    count(*) FILTER (
      WHERE NOT was_in_force OR state_before IS DISTINCT FROM state OR valid_to_before IS DISTINCT FROM valid_from
    ) OVER (
      PARTITION BY customer_id, was_in_force ORDER BY valid_from ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS span
  FROM neighbours
)

-- All states of a span are equal, so any of them gives its values.
SELECT
  customer_id,
  min(valid_from) AS valid_from,
  CASE WHEN count(*) = count(valid_to) THEN max(valid_to) END AS valid_to,
  count(*) > count(valid_to) AS is_current,
  any_value(email) AS email,
  any_value(status) AS status,
  any_value(registered_at) AS registered_at,
  any_value(first_name) AS first_name,
  any_value(last_name) AS last_name,
  any_value(full_name) AS full_name,
  any_value(date_of_birth) AS date_of_birth,
  any_value(phone) AS phone,
  any_value(billing_line1) AS billing_line1,
  any_value(billing_city) AS billing_city,
  any_value(billing_postal_code) AS billing_postal_code,
  any_value(billing_country) AS billing_country,
  any_value(billing_region) AS billing_region,
  any_value(shipping_line1) AS shipping_line1,
  any_value(shipping_city) AS shipping_city,
  any_value(shipping_postal_code) AS shipping_postal_code,
  any_value(shipping_country) AS shipping_country,
  any_value(shipping_region) AS shipping_region,
  any_value(address_count) AS address_count,
  any_value(email_notifications) AS email_notifications,
  any_value(sms_notifications) AS sms_notifications,
  any_value(push_notifications) AS push_notifications,
  any_value(notification_frequency) AS notification_frequency,
  any_value(language) AS language,
  any_value(theme) AS theme,
  any_value(preferred_currency) AS preferred_currency,
  make_timestamptz(max(updated_at)) AS updated_at,
  count(*) AS state_count,
  max(_ingested_at) AS ingestion_timestamp,
  min(_source) AS data_source
FROM numbered
GROUP BY customer_id, was_in_force, span
UNION ALL
-- The only state of a customer forms a span by itself.
SELECT
  customer_id,
  valid_from,
  valid_to,
  valid_to IS NULL AS is_current,
  email,
  status,
  registered_at,
  first_name,
  last_name,
  full_name,
  date_of_birth,
  phone,
  billing_line1,
  billing_city,
  billing_postal_code,
  billing_country,
  billing_region,
  shipping_line1,
  shipping_city,
  shipping_postal_code,
  shipping_country,
  shipping_region,
  address_count,
  email_notifications,
  sms_notifications,
  push_notifications,
  notification_frequency,
  language,
  theme,
  preferred_currency,
  make_timestamptz(updated_at) AS updated_at,
  1 AS state_count,
  _ingested_at AS ingestion_timestamp,
  _source AS data_source
FROM standard
ANTI JOIN several USING (customer_id)
