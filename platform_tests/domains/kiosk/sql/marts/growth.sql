-- One row a month, beside the month before and the same month of the year before.
WITH months AS (
  SELECT
    month,
    sum(sale_count)::BIGINT AS sale_count,
    max(ingestion_timestamp) AS ingestion_timestamp,
    min(data_source) AS data_source
  FROM marts.by_month
  GROUP BY month
)
SELECT
  own.month,
  own.sale_count,
  own.sale_count / before.sale_count - 1 AS over_month,
  own.sale_count / year_before.sale_count - 1 AS over_year,
  own.ingestion_timestamp,
  own.data_source
FROM months AS own
LEFT JOIN months AS before ON before.month = own.month - INTERVAL 1 MONTH
LEFT JOIN months AS year_before ON year_before.month = own.month - INTERVAL 1 YEAR
