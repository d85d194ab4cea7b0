-- One row a customer.
SELECT customer_id, name, lower(trim(level)) AS level, _ingested_at AS ingestion_timestamp, _source AS data_source
FROM latest.customers
