-- One row per scored customer: the latest score, its factors, and its change.
WITH answers AS (
  SELECT
    customer_id, model, band, factors, history, _ingested_at, _source,
    TRY_CAST(score AS DOUBLE) AS score,
    CASE
      WHEN contains(scored_at, '-') THEN make_timestamp(epoch_us(TRY_CAST(scored_at AS TIMESTAMPTZ)))
      WHEN contains(scored_at, '/') THEN try_strptime(trim(scored_at), ['%m/%d/%Y %H:%M:%S', '%m/%d/%Y'])
      WHEN regexp_full_match(trim(scored_at), '[0-9]{9,10}')
        THEN make_timestamp(1000000 * TRY_CAST(scored_at AS BIGINT))
    END AS scored_at,
    coalesce(
      from_json(TRY_CAST(factors AS JSON), '[{"name": "VARCHAR", "weight": "DOUBLE"}]'), []
    ) AS weighed_factors,
    coalesce(
      from_json(TRY_CAST(history AS JSON), '[{"date": "DATE", "score": "DOUBLE"}]'), []
    ) AS earlier_scores
  FROM latest.customer_risk
),

-- The first element of a sorted list: the weightiest factor, the latest score of an earlier day.
-- Elements without a weight or score are removed first: null would sort as the greatest.
ranked AS (
  SELECT
    customer_id, model, band, factors, history, _ingested_at, _source, score, scored_at,
    len(weighed_factors) AS factor_count,
    list_sort(
      list_transform(
        list_filter(weighed_factors, lambda factor: factor.weight IS NOT NULL),
        lambda factor: {'weight': factor.weight, 'name': factor.name}
      ),
      'DESC'
    )[1] AS top,
    list_sort(
      list_filter(
        earlier_scores, lambda earlier: earlier.date < CAST(scored_at AS DATE) AND earlier.score IS NOT NULL
      ),
      'DESC'
    )[1] AS previous
  FROM answers
)

SELECT
  customer_id,
  make_timestamptz(epoch_us(scored_at)) AS scored_at,
  trim(model) AS model,
  score,
  lower(trim(band)) AS band,
  factor_count,
  factors,
  top.name AS top_factor,
  top.weight AS top_factor_weight,
  previous.score AS previous_score,
  score - previous.score AS score_change,
  history,
  _ingested_at AS ingestion_timestamp,
  _source AS data_source
FROM ranked
