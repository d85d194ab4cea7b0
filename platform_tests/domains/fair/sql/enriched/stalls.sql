-- One row a stall.
SELECT stall, lower(trim(street)) AS street, keeper, _ingested_at AS ingestion_timestamp, _source AS data_source
FROM latest.stalls
