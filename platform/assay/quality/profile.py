"""Profiles: measures of published days.

Belongs here: the one scan that computes the figures. Does not belong here: which days to measure and where figures are stored
(`pipeline.watching`), what is normal (`baseline`).
"""

from __future__ import annotations

from enum import StrEnum

from assay.contracts import Table, Watch
from assay.contracts.rules import literal, quote
from assay.errors import ContractError

OTHER = "(other)"
"""Stands for the categories of a day that are too rare to be watched one by one."""
NONE = "(none)"
"""Stands for null in a category or a region."""
RARE = 0.002
"""A category with less than this share of a day's rows is rare. This bounds the number of categories."""
_LANDED = "ingestion_timestamp"


class Metric(StrEnum):
    """What is measured."""

    VOLUME = "volume"
    VALUE = "value"
    NULL_SHARE = "null_share"
    CATEGORY_SHARE = "category_share"
    LAG = "lag"
    FIRST_LANDING = "first_landing"


def profile_query(table: Table, rows: str) -> str:
    """Write the query that measures days of a table.

    Args:
        table: A table that is watched.
        rows: Query of the days' rows, with the table's columns.

    Returns:
        A query of `partition, metric, of_column, category, region, figure, row_count`. Figures of all regions combined have no
        region. A day without rows has no figures.
    """
    watch = table.watched
    if watch is None:
        raise ContractError(f"{table.full_name} is not watched.", hint="Declare watch=Watch(...) on it.")
    return f"""
WITH sums AS MATERIALIZED ({_sums(table, watch, rows)}),
parts AS ({" UNION ALL ".join(_parts(table, watch))}),
common AS (
  SELECT * REPLACE (CASE
    WHEN metric <> 'category_share' OR sum(counted) OVER (PARTITION BY partition, of_column, category)
      >= {RARE} * sum(counted) OVER (PARTITION BY partition, of_column) THEN category
    ELSE {literal(OTHER)} END AS category)
  FROM parts
),
every AS (FROM common{" UNION ALL SELECT * REPLACE (NULL AS region) FROM common" if watch.by else ""}),
added AS (
  SELECT partition, metric, of_column, category, region, sum(total) AS total, sum(counted) AS counted, min(earliest) AS earliest
  FROM every GROUP BY ALL
),
shared AS (
  SELECT *, sum(counted) OVER (PARTITION BY partition, metric, of_column, region)::BIGINT AS out_of
  FROM added WHERE metric <> 'first_landing' OR region IS NULL
)
SELECT partition, metric, of_column, category, region,
  CASE metric
    WHEN 'null_share' THEN total / out_of
    WHEN 'category_share' THEN counted / out_of
    WHEN 'lag' THEN exp(total / out_of) - 1
    WHEN 'first_landing' THEN (epoch_us(earliest) - epoch_us(partition + INTERVAL 1 DAY)) / 3.6e9
    ELSE total END::DOUBLE AS figure,
  out_of AS row_count
FROM shared WHERE out_of > 0 ORDER BY ALL"""


def _sums(table: Table, watch: Watch, rows: str) -> str:
    """The query that reads the rows: sums by day, region and, one column at a time, category."""
    region = f"coalesce({quote(watch.by)}::VARCHAR, {literal(NONE)})" if watch.by else "NULL::VARCHAR"
    keys = [f"c{place}" for place in range(len(watch.shares))]
    read = [f"{quote(str(table.partition_column))} AS partition", f"{region} AS region"]
    read += [f"coalesce({quote(name)}::VARCHAR, {literal(NONE)}) AS {key}" for name, key in zip(watch.shares, keys, strict=True)]
    summed = ["count(*) AS n"]
    if watch.value:
        read.append(f"{quote(watch.value)} AS amount")
        summed.append("coalesce(sum(amount), 0)::DOUBLE AS amount")
    for place, name in enumerate(watch.nulls):
        read.append(f"{quote(name)} AS nullable_{place}")
        summed.append(f"count(*) - count(nullable_{place}) AS nulls_{place}")
    if _lands(table):
        read.append(f"{quote(_LANDED)} AS landed")
        summed.append("min(landed) AS earliest")
    if watch.happened:
        # The mean of logarithms: a handful of rows that arrive a month late do not move it, and it is additive.
        # Not greatest(0, …), which would treat an unknown lag as zero.
        late = f"epoch_us({quote(_LANDED)}) - epoch_us({quote(watch.happened)})"
        read.append(f"ln(1 + CASE WHEN {late} < 0 THEN 0 ELSE {late} END / 3.6e9) AS late")
        summed += ["sum(late) AS late", "count(late) AS dated"]
    sets = ["(partition, region)", *(f"(partition, region, {key})" for key in keys)]
    own = "".join(f"{key}, grouping({key}) = 0 AS by_{key}, " for key in keys)
    return (
        f"SELECT partition, region, {own}{', '.join(summed)} FROM (SELECT {', '.join(read)} FROM ({rows})) "
        f"GROUP BY GROUPING SETS ({', '.join(sets)})"
    )


def _parts(table: Table, watch: Watch) -> list[str]:
    """One query for each figure, all with the same columns, of which `total` and `counted` can be added up over regions."""
    keys = [f"c{place}" for place in range(len(watch.shares))]
    plain = f"FROM sums WHERE {' AND '.join(f'NOT by_{key}' for key in keys) or 'true'}"

    def part(metric: Metric, total: str, counted: str, rows: str, column: str | None = None, category: str = "NULL") -> str:
        of = literal(column) if column else "NULL"
        earliest = "earliest" if metric is Metric.FIRST_LANDING else "NULL::TIMESTAMPTZ"
        return (
            f"SELECT partition, {literal(metric)} AS metric, {of}::VARCHAR AS of_column, {category}::VARCHAR AS category, "
            f"region, ({total})::DOUBLE AS total, {counted} AS counted, {earliest} AS earliest {rows}"
        )

    parts = [part(Metric.VOLUME, "n", "n", plain)]
    if watch.value:
        parts.append(part(Metric.VALUE, "amount", "n", plain, watch.value))
    parts += [part(Metric.NULL_SHARE, f"nulls_{place}", "n", plain, name) for place, name in enumerate(watch.nulls)]
    parts += [
        part(Metric.CATEGORY_SHARE, "n", "n", f"FROM sums WHERE by_{key}", name, key)
        for key, name in zip(keys, watch.shares, strict=True)
    ]
    if watch.happened:
        parts.append(part(Metric.LAG, "late", "dated", plain, watch.happened))
    if _lands(table):
        parts.append(part(Metric.FIRST_LANDING, "0", "n", plain))
    return parts


def _lands(table: Table) -> bool:
    return _LANDED in table.types
