-- One row a day and product, with what was sold up to it: its month's days, its year's months before, the years before.
WITH days AS (
  SELECT
    day,
    product,
    sale_count,
    sum(sale_count) OVER (PARTITION BY product, date_trunc('month', day) ORDER BY day)::BIGINT AS month_to_date,
    coalesce((
      SELECT sum(m.sale_count)
      FROM marts.by_month AS m
      WHERE m.product = d.product AND m.month >= date_trunc('year', d.day) AND m.month < date_trunc('month', d.day)
    ), 0)::BIGINT AS months,
    coalesce((
      SELECT sum(y.sale_count)
      FROM marts.by_year AS y
      WHERE y.product = d.product AND y.year < date_trunc('year', d.day)
    ), 0)::BIGINT AS years,
    ingestion_timestamp,
    data_source
  FROM marts.by_day AS d
)
SELECT
  day,
  product,
  sale_count,
  month_to_date,
  month_to_date + months AS year_to_date,
  month_to_date + months + years AS to_date,
  ingestion_timestamp,
  data_source
FROM days
