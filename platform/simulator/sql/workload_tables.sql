-- Tables of the company's database, in PostgreSQL's SQL.
CREATE TABLE IF NOT EXISTS customers (
  customer_id text PRIMARY KEY,
  email text NOT NULL,
  profile jsonb NOT NULL,
  status text NOT NULL,
  registered_at timestamptz NOT NULL,
  updated_at timestamp NOT NULL DEFAULT localtimestamp
);
CREATE TABLE IF NOT EXISTS merchants (
  merchant_id text PRIMARY KEY,
  name text NOT NULL,
  mcc text NOT NULL,
  country text NOT NULL,
  region text NOT NULL,
  city text NOT NULL,
  terms jsonb NOT NULL,
  active boolean NOT NULL,
  time_zone text,
  created_at timestamp NOT NULL DEFAULT localtimestamp,
  updated_at timestamp NOT NULL DEFAULT localtimestamp
);
CREATE TABLE IF NOT EXISTS transactions (
  transaction_id text PRIMARY KEY,
  customer_id text NOT NULL,
  merchant_id text NOT NULL,
  amount numeric(18,2) NOT NULL,
  currency text NOT NULL,
  status text NOT NULL,
  failure_reason text,
  region text NOT NULL,
  payment_method text NOT NULL,
  is_recurring boolean NOT NULL,
  transaction_date timestamptz NOT NULL,
  created_at timestamp NOT NULL DEFAULT localtimestamp,
  updated_at timestamp NOT NULL DEFAULT localtimestamp
);
CREATE TABLE IF NOT EXISTS refunds (
  refund_id text PRIMARY KEY,
  transaction_id text NOT NULL,
  customer_id text NOT NULL,
  merchant_id text NOT NULL,
  amount numeric(18,2) NOT NULL,
  payment_amount numeric(18,2) NOT NULL,
  currency text NOT NULL,
  region text NOT NULL,
  payment_method text NOT NULL,
  reason text,
  state text NOT NULL,
  paid_at timestamptz NOT NULL,
  requested_at timestamptz NOT NULL,
  refunded_at timestamptz,
  created_at timestamp NOT NULL DEFAULT localtimestamp,
  updated_at timestamp NOT NULL DEFAULT localtimestamp
);
CREATE TABLE IF NOT EXISTS chargebacks (
  dispute_id text PRIMARY KEY,
  transaction_id text NOT NULL,
  customer_id text NOT NULL,
  merchant_id text NOT NULL,
  amount numeric(18,2) NOT NULL,
  payment_amount numeric(18,2) NOT NULL,
  currency text NOT NULL,
  region text NOT NULL,
  payment_method text NOT NULL,
  network text NOT NULL,
  reason_code text NOT NULL,
  state text NOT NULL,
  paid_at timestamptz NOT NULL,
  captured_at timestamptz NOT NULL,
  opened_at timestamptz NOT NULL,
  closed_at timestamptz,
  created_at timestamp NOT NULL DEFAULT localtimestamp,
  updated_at timestamp NOT NULL DEFAULT localtimestamp
);
