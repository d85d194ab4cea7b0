-- One row a customer, over all days.
SELECT
  coalesce(customer, 'unknown') AS customer,
  count(*) AS visit_count,
  sum(amount) AS spent,
  min(day_sold) AS first_visit,
  max(ingestion_timestamp) AS ingestion_timestamp,
  min(data_source) AS data_source
FROM enriched.sales
GROUP BY coalesce(customer, 'unknown')
