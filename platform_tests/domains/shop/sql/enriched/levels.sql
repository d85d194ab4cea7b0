-- One row a customer and level.
SELECT customer_id, level, valid_from, valid_to, _ingested_at AS ingestion_timestamp, _source AS data_source
FROM history.customers
