SELECT parcel_id, grams, day, _ingested_at AS ingestion_timestamp, _source AS data_source
FROM latest.parcels
