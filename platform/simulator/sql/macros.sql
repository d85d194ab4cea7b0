-- The model's vocabulary: draws, and every quantity that several queries need.
-- Constants of the company are variables of the connection: seed, days, start_day, first_customers, new_customers,
-- deleted_customers, first_merchants, new_merchants.

-- 64 random bits for an id and a purpose. DuckDB's hash of several values only XORs the last one, so that draws for two
-- purposes would differ only by a constant; hence a hash of one value.
CREATE MACRO draw(id, purpose) AS hash(xor(CAST(id AS UBIGINT), hash(getvariable('seed'), purpose)));

-- Four shares in [0, 1) of 16 bits each (n = 0 to 3), or two of 32 bits (n = 0 and 1).
-- Every number is UBIGINT: with a signed one DuckDB computes in 128 bits, several times slower.
CREATE MACRO share(bits, n) AS CAST((bits >> CAST(16 * n AS UBIGINT)) & CAST(65535 AS UBIGINT) AS DOUBLE) / 65536;
CREATE MACRO fine_share(bits, n) AS
  CAST((bits >> CAST(32 * n AS UBIGINT)) & CAST(4294967295 AS UBIGINT) AS DOUBLE) / 4294967296;
CREATE MACRO remainder(bits, n) AS CAST(bits % CAST(n AS UBIGINT) AS BIGINT);

-- A member of a list, given a share.
CREATE MACRO pick(members, part) AS members[1 + CAST(floor(part * len(members)) AS BIGINT)];

-- Microseconds into the day of the n-th of a day's payments: many in the afternoon, few at night (four to one).
CREATE MACRO day_share(x) AS x - 0.0955 * (sin(6.283185307179586 * (x - 0.57)) - 0.4257792915650727);
CREATE MACRO slot_us(no, n, payments) AS
  CAST(floor(least(day_share((n + share(draw(no, 'slot'), 0)) / CAST(payments AS DOUBLE)), 0.9999999) * 86400000000) AS BIGINT);

-- The outcome of a payment: 0 failed, 1 authorized only, 2 captured, 3 captured and refunded, 4 captured and charged back.
CREATE MACRO fate(no) AS CASE
  WHEN share(draw(no, 'fate'), 0) < 0.08 THEN 0
  WHEN share(draw(no, 'fate'), 0) < 0.218 THEN 1
  WHEN share(draw(no, 'fate'), 1) < 0.04 THEN 3
  WHEN share(draw(no, 'fate'), 1) < 0.046 THEN 4
  ELSE 2
END;
-- Two minutes to 20 hours after the payment's row was made.
CREATE MACRO captured_us(no, created_us) AS
  created_us + 120000000 + CAST(floor(pow(share(draw(no, 'fate'), 2), 3) * 72000000000) AS BIGINT);
-- A refund comes two hours to ten days after the capture, a chargeback two to 20 days.
CREATE MACRO final_us(no, created_us) AS captured_us(no, created_us) + CASE fate(no)
  WHEN 3 THEN 7200000000 + CAST(floor(pow(share(draw(no, 'fate'), 3), 2) * 855360000000) AS BIGINT)
  ELSE 172800000000 + CAST(floor(share(draw(no, 'fate'), 3) * 1555200000000) AS BIGINT)
END;

-- Returns. A refunded payment has one refund or two that add up to its amount, and some had one before that failed;
-- the last comes with the payment's last change. Some payments are refunded in part and stay captured.
-- A refund has the number 4 * payment + part: 0 the first, 1 the second, 2 the one that failed.
CREATE MACRO is_partly_refunded(no) AS fate(no) = 2 AND share(draw(no, 'returned'), 0) < 0.02;
CREATE MACRO has_two_refunds(no) AS share(draw(no, 'returned'), 1) < 0.25;
CREATE MACRO has_failed_refund(no) AS share(draw(no, 'returned'), 2) < 0.06;
CREATE MACRO refund_state(refund) AS CASE WHEN refund % 4 = 2 THEN 'failed' ELSE 'succeeded' END;
-- The smallest amount of a currency, in cents.
CREATE MACRO smallest_cents(currency) AS CASE currency WHEN 'JPY' THEN 100 ELSE 1 END;
CREATE MACRO first_refund_cents(no, cents, smallest) AS smallest * greatest(1, least(
  cents // smallest - 1, CAST(floor((cents // smallest) * (0.2 + 0.6 * share(draw(no, 'returned'), 3))) AS BIGINT)
));
CREATE MACRO refund_cents(refund, cents, currency) AS CASE
  WHEN refund % 4 = 0 AND (fate(refund // 4) = 2 OR has_two_refunds(refund // 4))
    THEN first_refund_cents(refund // 4, cents, smallest_cents(currency))
  WHEN refund % 4 = 1 THEN cents - first_refund_cents(refund // 4, cents, smallest_cents(currency))
  ELSE cents
END;
CREATE MACRO refund_reason(part) AS pick(
  ['returned', 'returned', 'returned', 'cancelled', 'cancelled', 'not_received', 'damaged', 'duplicate', 'goodwill', 'fraudulent'],
  part
);
-- One dispute in ten is about a part of the payment.
CREATE MACRO disputed_cents(no, cents, currency) AS CASE
  WHEN share(draw(no, 'dispute'), 0) < 0.10 THEN first_refund_cents(no, cents, smallest_cents(currency)) ELSE cents
END;
CREATE MACRO network_of(method, part) AS CASE
  WHEN method = 'bank_transfer' THEN 'bank' WHEN part < 0.55 THEN 'visa' WHEN part < 0.90 THEN 'mastercard' ELSE 'amex'
END;
-- Reason codes, the frequent ones several times.
CREATE MACRO reason_codes(network) AS CASE network
  WHEN 'visa' THEN ['10.4', '10.4', '10.4', '10.4', '10.4', '10.5', '11.3', '12.6.1', '13.1', '13.1', '13.2', '13.3', '13.6', '13.7']
  WHEN 'mastercard' THEN ['4837', '4837', '4837', '4837', '4849', '4870', '4808', '4834', '4834', '4853', '4853', '4853']
  WHEN 'amex' THEN ['F29', 'F29', 'F24', 'A02', 'P08', 'C02', 'C08', 'C08', 'C28', 'C31']
  ELSE ['MD01', 'MD06', 'MD06']
END;
-- Three disputes in ten are won by the merchant, six are lost, one stays open for good.
CREATE MACRO dispute_state(no) AS CASE
  WHEN share(draw(no, 'dispute'), 1) < 0.30 THEN 'won' WHEN share(draw(no, 'dispute'), 1) < 0.90 THEN 'lost' ELSE 'open'
END;

-- Whole days between a payment and the landing of its events.
CREATE MACRO days_late(no) AS CASE
  WHEN share(draw(no, 'late'), 0) < 0.015 THEN 1 + CAST(floor(share(draw(no, 'late'), 1) * 30) AS BIGINT) ELSE 0
END;

-- Deliveries. An event has the number 4 * payment + kind.
CREATE MACRO is_duplicated(event) AS share(draw(event, 'delivery'), 0) < 0.025;
CREATE MACRO duplicated_after_us(event) AS 1000000 + CAST(floor(share(draw(event, 'delivery'), 1) * 60000000) AS BIGINT);
CREATE MACRO is_overtaken(no) AS share(draw(no, 'overtaken'), 0) < 0.033;
CREATE MACRO kafka_partition(no) AS CAST(remainder(draw(no, 'partition'), 3) AS TINYINT);

-- Customers and merchants are numbered from 1: first those that exist before the first day, then day by day.
CREATE MACRO customers_before(day) AS
  getvariable('first_customers') + getvariable('new_customers') * least(greatest(day, 0), getvariable('days'));
CREATE MACRO merchants_before(day) AS
  getvariable('first_merchants') + getvariable('new_merchants') * least(greatest(day, 0), getvariable('days'));
CREATE MACRO start_s() AS getvariable('start_day') * 86400;
CREATE MACRO joined_day(no, first, new) AS (no - first - 1) // new;
CREATE MACRO joined_us(no, day) AS
  (getvariable('start_day') + day) * 86400000000 + CAST(floor(fine_share(draw(no, 'joined'), 0) * 86400000000) AS BIGINT);
-- First customers registered 65 days to three years before the first day: before every payment, archived ones too.
CREATE MACRO registered_s(customer) AS CASE
  WHEN customer <= getvariable('first_customers')
    THEN start_s() - 65 * 86400 - CAST(floor(fine_share(draw(customer, 'registered'), 0) * 1030 * 86400) AS BIGINT)
  ELSE joined_us(
    customer, joined_day(customer, getvariable('first_customers'), getvariable('new_customers'))
  ) // 1000000
END;
-- Day on which a customer is deleted, null for never: from the third day on, starting with the last of the first customers.
CREATE MACRO deleted_day(customer) AS CASE
  WHEN customer <= getvariable('first_customers') AND customer > getvariable('first_customers') // 2
    THEN 2 + (getvariable('first_customers') - customer) // getvariable('deleted_customers')
END;

-- Places of people and shops.
CREATE MACRO region_of(part) AS CASE
  WHEN part < 0.40 THEN 'NA' WHEN part < 0.70 THEN 'EU' WHEN part < 0.88 THEN 'APAC' ELSE 'LATAM'
END;
CREATE MACRO places(region) AS CASE region
  WHEN 'NA' THEN ['US|New York', 'US|Chicago', 'US|Austin', 'US|Seattle', 'CA|Toronto', 'CA|Montreal']
  WHEN 'EU' THEN ['DE|Berlin', 'FR|Lyon', 'GB|London', 'ES|Madrid', 'IT|Milan', 'NL|Utrecht', 'PL|Gdansk']
  WHEN 'APAC' THEN ['JP|Tokyo', 'JP|Osaka', 'AU|Sydney', 'SG|Singapore', 'NZ|Auckland']
  ELSE ['BR|Sao Paulo', 'BR|Recife', 'MX|Puebla', 'CL|Santiago', 'CO|Bogota']
END;
CREATE MACRO country_of(place) AS left(place, 2);
CREATE MACRO city_of(place) AS substr(place, 4);
CREATE MACRO zone_of(place) AS CASE city_of(place)
  WHEN 'New York' THEN 'America/New_York' WHEN 'Chicago' THEN 'America/Chicago' WHEN 'Austin' THEN 'America/Chicago'
  WHEN 'Seattle' THEN 'America/Los_Angeles' WHEN 'Toronto' THEN 'America/Toronto' WHEN 'Montreal' THEN 'America/Toronto'
  WHEN 'Berlin' THEN 'Europe/Berlin' WHEN 'Lyon' THEN 'Europe/Paris' WHEN 'London' THEN 'Europe/London'
  WHEN 'Madrid' THEN 'Europe/Madrid' WHEN 'Milan' THEN 'Europe/Rome' WHEN 'Utrecht' THEN 'Europe/Amsterdam'
  WHEN 'Gdansk' THEN 'Europe/Warsaw' WHEN 'Tokyo' THEN 'Asia/Tokyo' WHEN 'Osaka' THEN 'Asia/Tokyo'
  WHEN 'Sydney' THEN 'Australia/Sydney' WHEN 'Singapore' THEN 'Asia/Singapore' WHEN 'Auckland' THEN 'Pacific/Auckland'
  WHEN 'Sao Paulo' THEN 'America/Sao_Paulo' WHEN 'Recife' THEN 'America/Recife' WHEN 'Puebla' THEN 'America/Mexico_City'
  WHEN 'Santiago' THEN 'America/Santiago' WHEN 'Bogota' THEN 'America/Bogota'
END;
CREATE MACRO currency_of(region, part) AS CASE region
  WHEN 'NA' THEN 'USD'
  WHEN 'EU' THEN CASE WHEN part < 0.7 THEN 'EUR' ELSE 'GBP' END
  WHEN 'APAC' THEN CASE WHEN part < 0.6 THEN 'JPY' ELSE 'USD' END
  ELSE CASE WHEN part < 0.7 THEN 'BRL' ELSE 'USD' END
END;
CREATE MACRO categories() AS [
  '5411', '5812', '5814', '5541', '5912', '5732', '4121', '4511', '7011', '5311', '5651', '5942', '5734',
  '4814', '7832', '5999', '8011', '5200', '5712', '5944', '5691', '5661', '5941', '7230', '4899'
];
-- Natural logarithm of the middle amount of each category, in US dollars.
CREATE MACRO category_levels() AS [
  3.6, 3.4, 2.5, 3.7, 3.1, 5.0, 2.9, 5.7, 5.4, 4.1, 4.0, 3.0, 4.3,
  3.8, 3.0, 3.2, 4.6, 4.4, 5.6, 5.2, 4.1, 4.2, 3.9, 3.5, 3.9
];
CREATE MACRO merchant_region(merchant) AS region_of(share(draw(merchant, 'merchant'), 0));
CREATE MACRO merchant_category(merchant) AS share(draw(merchant, 'merchant'), 1);

-- The partner that brought a merchant: none for one in four. As text in a JSON document that is itself a text.
CREATE MACRO partner_json(part) AS CASE WHEN part < 0.25 THEN 'null' ELSE concat('\"', pick(
  ['Northgate', 'Northgate', 'Harbour Pay', 'Harbour Pay', 'Meridian', 'Cobalt Commerce', 'Lumen', 'Tandem'], (part - 0.25) / 0.75
), '\"') END;

-- A customer's risk on a day: 0 to 100.
CREATE MACRO risk_score(customer, day) AS CAST(floor(least(100, greatest(0,
  110 * pow(share(draw(customer, 'risk'), 0), 2) - 5 + 10 * share(draw(customer * 4096 + day + 365, 'risk of day'), 0)
))) AS BIGINT);

-- How values are written, as JSON.
CREATE MACRO instant_json(seconds, part) AS CASE
  WHEN part < 0.70 THEN strftime(make_timestamp(seconds * 1000000), '"%Y-%m-%dT%H:%M:%SZ"')
  WHEN part < 0.80 THEN strftime(make_timestamp(seconds * 1000000), '"%m/%d/%Y %H:%M:%S"')
  WHEN part < 0.95 THEN CAST(seconds AS VARCHAR)
  ELSE concat('"', CAST(make_timestamp(seconds * 1000000) AS VARCHAR), '"')
END;
CREATE MACRO flag_json(is_true, part) AS CASE
  WHEN part < 0.30 THEN CASE WHEN is_true THEN '"Y"' ELSE '"N"' END
  WHEN part < 0.50 THEN CASE WHEN is_true THEN '"1"' ELSE '"0"' END
  WHEN part < 0.70 THEN CASE WHEN is_true THEN '"true"' ELSE '"false"' END
  WHEN part < 0.90 THEN CASE WHEN is_true THEN 'true' ELSE 'false' END
  ELSE CASE WHEN is_true THEN '1' ELSE '0' END
END;
CREATE MACRO plain_amount(cents) AS CAST(CAST(cents AS DECIMAL(15, 0)) * CAST(0.01 AS DECIMAL(3, 2)) AS VARCHAR);
CREATE MACRO dollar_amount(cents) AS format('${:,}.{:02d}', cents // 100, cents % 100);
CREATE MACRO amount_json(cents, part) AS CASE
  -- Cents are omitted only if they are zero: about a quarter of all amounts.
  WHEN part < 0.60 AND cents % 100 = 0 THEN CAST(cents // 100 AS VARCHAR)
  WHEN part >= 0.85 THEN concat('"', dollar_amount(cents), '"')
  ELSE concat('"', plain_amount(cents), '"')
END;
CREATE MACRO currency_text(currency, part) AS CASE
  WHEN part < 0.05 THEN lower(currency) WHEN part < 0.07 THEN concat(' ', currency, ' ') ELSE currency
END;
CREATE MACRO method_text(part) AS CASE
  WHEN part < 0.70 THEN 'card' WHEN part < 0.90 THEN 'wallet' ELSE 'bank_transfer'
END;
CREATE MACRO long_identifier(prefix, no) AS concat(prefix, substr(CAST(100000000000000 + no AS VARCHAR), 2));
CREATE MACRO identifier(prefix, no) AS concat(prefix, substr(CAST(100000000 + no AS VARCHAR), 2));

-- Debezium's envelope, PostgreSQL connector, with the text that a converter puts around it. A snapshot read has no last commit.
CREATE MACRO envelope(tbl, op, before, after, commit_us, lsn, lag_us) AS concat(
  getvariable('line_prefix'), '{"before":', before, ',"after":', after,
  ',"source":{"version":"3.6.0.Final","connector":"postgresql","name":"payments","ts_ms":', commit_us // 1000,
  CASE WHEN op = 'r' THEN ',"snapshot":"true","db":"payments","sequence":"[null'
    ELSE concat(',"snapshot":"false","db":"payments","sequence":"[\"', lsn - 256, '\"') END,
  ',\"', lsn, '\"]","ts_us":', commit_us, ',"ts_ns":', commit_us, '000,"schema":"public","table":"', tbl,
  '","txId":', 700 + lsn // 256 % 2000000000, ',"lsn":', lsn, ',"xmin":null},"transaction":null,"op":"', op,
  '","ts_ms":', (commit_us + lag_us) // 1000, ',"ts_us":', commit_us + lag_us, ',"ts_ns":', commit_us + lag_us, '000}',
  getvariable('line_suffix')
);
CREATE MACRO connector_lag_us(event) AS 50000 + CAST(floor(share(draw(event, 'lag'), 0) * 450000) AS BIGINT);
