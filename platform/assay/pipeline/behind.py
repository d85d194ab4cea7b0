"""What was landed about the rows of a fact in a span of time: the events behind a restatement.

Belongs here: finding the sources that a fact's rows are folded from, and the keys that their events name. Does not belong here:
restatements (`changes`), which partitions events make dirty (`plan`).

The rows of a fact say only when the newest of their events was landed. Its sources keep every event, so that they also say which
rows were corrected again since, and which are gone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from assay.contracts import Source
from assay.contracts.rules import literal, quote
from assay.engine.project import Project, source_of


@dataclass(frozen=True)
class Span:
    """A span of time of landing.

    Attributes:
        after: Its beginning, which does not belong to it; None for as far back as there is anything.
        until: Its end, which does.
    """

    after: dt.datetime | None
    until: dt.datetime

    def condition(self, column: str) -> str:
        """SQL that an instant lies in it."""
        tests = [f"{column} > TIMESTAMPTZ {literal(self.after.isoformat())}"] if self.after else []
        return " AND ".join([*tests, f"{column} <= TIMESTAMPTZ {literal(self.until.isoformat())}"])


def sources_behind(project: Project, table: str) -> list[Source]:
    """The sources whose events are folded to the rows of a table: those that have its key, by way of tables that have it too."""
    key = project.nodes[table].table.key
    return list({source.name: source for source in _behind(project, table, key)}.values())


def _behind(project: Project, table: str, key: tuple[str, ...]) -> Iterator[Source]:
    for relation in project.nodes[table].query.reads:
        name = source_of(relation)
        if name is not None:
            source = project.domain.sources[name]
            if source.key == key and source.partition_column is not None:
                yield source
        elif project.nodes[relation].table.key == key:
            yield from _behind(project, relation, key)


def landed_keys(sources: Sequence[Source], span: Span) -> str:
    """SQL of the keys that events of a span are about."""
    return " UNION ".join(
        f"SELECT ({', '.join(map(quote, source.key))}) FROM changes.{quote(source.name)} WHERE {span.condition('_ingested_at')}"
        for source in sources
    )


def gone_rows(source: Source, span: Span, was_there: str, is_there: str) -> str:
    """SQL of the keys that were there before a span, that an event of it is about, and that are there no more.

    Args:
        source: The source.
        span: The span, which has a beginning.
        was_there: Condition on events before it.
        is_there: SQL of the keys that are there.
    """
    keys, events = ", ".join(map(quote, source.key)), f"changes.{quote(source.name)}"
    assert span.after is not None
    before = f"_ingested_at <= TIMESTAMPTZ {literal(span.after.isoformat())}"
    return (
        f"SELECT {keys}, CASE WHEN arg_max(_op, _sequence) = 'd' THEN 'deleted' ELSE 'moved or refused' END AS gone, "
        "max(_ingested_at) AS ingestion_timestamp, arg_max(_landing_object, _sequence) AS landing_object, "
        "arg_max(_landing_row, _sequence) AS landing_row "
        f"FROM {events} WHERE {span.condition('_ingested_at')} "
        f"AND ({keys}) IN (SELECT ({keys}) FROM {events} WHERE {before} AND {was_there}) "
        f"AND ({keys}) NOT IN ({is_there}) GROUP BY {keys} ORDER BY ALL"
    )
