-- One row a stall, with how many are in its street.
WITH streets AS (
  SELECT street, count(*) AS in_street
  FROM enriched.stalls
  GROUP BY street
)

SELECT stalls.stall, streets.in_street, stalls.ingestion_timestamp, stalls.data_source
FROM enriched.stalls AS stalls
JOIN streets ON streets.street = stalls.street
