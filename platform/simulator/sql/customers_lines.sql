-- The lines of customers' records. Reads `record (line_no, no, kind, commit_us, lsn)`.
-- A change moves the customer: its new values depend on the day of the change (`version`), the customer's identity does not.
WITH drawn AS (
  SELECT *,
    CASE WHEN kind = 2 THEN 1 + commit_us // 86400000000 - getvariable('start_day') ELSE 0 END AS version,
    draw(no, 'person') AS person,
    draw(no, 'contact') AS contact
  FROM record
),

settled AS (
  SELECT *,
    draw(no * 4096 + version, 'home') AS home,
    draw(no * 4096 + version, 'preferences') AS preferences,
    draw(no * 4096 + version, 'form') AS forms,
    pick([
      'Ada', 'Bruno', 'Chloe', 'Diego', 'Emma', 'Felix', 'Grace', 'Hiro', 'Ines', 'Jonas', 'Kenji', 'Lea', 'Mia', 'Noah',
      'Olga', 'Pedro', 'Rosa', 'Sofia', 'Tom', 'Yuki'
    ], share(person, 0)) AS first_name,
    pick([
      'Almeida', 'Becker', 'Costa', 'Dubois', 'Evans', 'Fischer', 'Garcia', 'Hughes', 'Ito', 'Jansen', 'Kowalski', 'Lopez',
      'Moreau', 'Nakamura', 'O''Brien', 'Patel', 'Rossi', 'Silva', 'Tanaka', 'Wagner'
    ], share(person, 1)) AS last_name,
    registered_s(no) AS registered_s
  FROM drawn
),

-- Billing stands first in some profiles and later in others, because a document store keeps no order.
addressed AS (
  SELECT *, list_transform(
    list_filter(
      CASE WHEN share(home, 3) < 0.5 THEN ['billing', 'shipping', 'home', 'work', 'other']
        ELSE ['home', 'shipping', 'billing', 'other', 'work'] END,
      lambda kind_of_address: CASE kind_of_address
        WHEN 'billing' THEN true
        WHEN 'shipping' THEN share(home, 0) < 0.80
        WHEN 'home' THEN share(home, 1) < 0.35
        WHEN 'work' THEN share(home, 2) < 0.20
        ELSE share(home, 2) > 0.93
      END
    ),
    lambda kind_of_address: {
      'type': kind_of_address,
      'bits': draw(no * 4096 + version, kind_of_address)
    }
  ) AS addresses
  FROM settled
),

located AS (
  SELECT *, list_transform(addresses, lambda address: {
    'type': address.type,
    'bits': address.bits,
    'region': region_of(share(address.bits, 0))
  }) AS located_addresses
  FROM addressed
),

-- A document in a document: its quotes are escaped.
profiled AS (
  SELECT *, concat(
    '"{\"personal_information\": {\"first_name\": \"', first_name, '\", \"last_name\": \"', last_name,
    '\", \"date_of_birth\": \"', CAST(DATE '1945-01-01' + CAST(floor(share(person, 2) * 21900) AS INTEGER) AS VARCHAR),
    '\", \"phone\": \"+', 10000000000 + remainder(contact, 89999999999), '\"}, \"addresses\": [',
    array_to_string(list_transform(located_addresses, lambda address: concat(
      '{\"type\": \"', address.type,
      '\", \"line1\": \"', 1 + remainder(address.bits, 199), ' ',
      pick(['Oak Street', 'Station Road', 'Mill Lane', 'Park Avenue', 'Harbour Way', 'High Street'], share(address.bits, 1)),
      '\", \"city\": \"', city_of(pick(places(address.region), share(address.bits, 2))),
      '\", \"postal_code\": \"', 10000 + remainder(hash(address.bits), 89999),
      '\", \"country\": \"', country_of(pick(places(address.region), share(address.bits, 2))),
      '\", \"region\": \"', address.region, '\"}'
    )), ', '),
    '], \"preferences\": {\"notifications\": {\"email\": {\"enabled\": ',
    replace(flag_json(share(preferences, 0) < 0.6, share(forms, 0)), '"', '\"'),
    ', \"frequency\": \"', pick(['daily', 'weekly', 'monthly'], share(preferences, 1)),
    '\"}, \"sms\": {\"enabled\": ', replace(flag_json(share(preferences, 2) < 0.3, share(forms, 1)), '"', '\"'),
    '}, \"push\": {\"enabled\": ', replace(flag_json(share(preferences, 3) < 0.5, share(forms, 2)), '"', '\"'),
    '}}, \"language\": \"', pick(['en', 'de', 'fr', 'es', 'pt', 'ja'], fine_share(hash(preferences), 0)),
    '\", \"display\": {\"theme\": \"', pick(['light', 'dark', 'system'], share(hash(preferences), 2)),
    '\", \"currency\": \"', currency_of(located_addresses[1].region, share(hash(preferences), 3)), '\"}}}"'
  ) AS profile
  FROM located
)

SELECT line_no, envelope(
  'customers', CASE kind WHEN 0 THEN 'r' WHEN 1 THEN 'c' WHEN 2 THEN 'u' ELSE 'd' END,
  CASE
    WHEN kind = 3 THEN concat(
      '{"customer_id":"', identifier('cust_', no),
      '","email":null,"profile":null,"status":null,"registered_at":null,"updated_at":null}'
    )
    ELSE 'null'
  END,
  CASE
    WHEN kind = 3 THEN 'null'
    ELSE concat(
      '{"customer_id":"', identifier('cust_', no),
      '","email":"', CASE WHEN share(contact, 3) < 0.1 THEN upper(first_name) ELSE lower(first_name) END,
      '.', replace(lower(last_name), '''', ''), no, '@example.com',
      '","profile":', profile,
      ',"status":"', CASE WHEN share(hash(home), 0) < 0.95 THEN 'active' ELSE 'suspended' END,
      '","registered_at":', instant_json(registered_s, share(forms, 3)),
      ',"updated_at":', CASE WHEN kind = 0 THEN registered_s * 1000000 ELSE commit_us END, '}'
    )
  END,
  commit_us, lsn, connector_lag_us(no)
) AS line
FROM profiled
