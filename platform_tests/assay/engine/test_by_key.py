"""Whether SQL computes each key for itself."""

from __future__ import annotations

import pytest

from assay.engine.by_key import is_by_key


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id, upper(name) AS name FROM latest.people",
        "SELECT id, max(name) AS name FROM latest.people GROUP BY id, town",
        "SELECT ID, count(*) AS n FROM latest.people GROUP BY ALL",
        "SELECT id, lag(name) OVER (PARTITION BY id ORDER BY since) AS before FROM latest.people",
        "SELECT id, lag(name) OVER by_time AS before FROM latest.people WINDOW by_time AS (PARTITION BY id ORDER BY since)",
        "SELECT id, (SELECT min(zone.name) FROM pg_timezone_names() AS zone) AS zone FROM latest.people",
        "WITH own AS (SELECT id, name FROM latest.people) SELECT id, n FROM own JOIN "
        "(SELECT town, count(*) AS n FROM enriched.towns GROUP BY town) AS towns ON towns.town = own.name",
        "WITH days AS (SELECT DISTINCT born FROM latest.people) "
        "SELECT own.id FROM latest.people AS own JOIN days ON days.born = own.born",
    ],
)
def test_each_key_is_computed_for_itself(sql: str) -> None:
    assert is_by_key(sql, ("id",), ("latest.people",))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT max(id) AS id FROM latest.people",
        "SELECT town AS id, count(*) AS n FROM latest.people GROUP BY town",
        "SELECT town, count(*) AS n FROM latest.people GROUP BY ALL",
        "SELECT id, row_number() OVER (ORDER BY since) AS place FROM latest.people",
        "SELECT id, rank() OVER by_town AS place FROM latest.people WINDOW by_town AS (PARTITION BY town ORDER BY since)",
        "WITH own AS (SELECT id, town FROM latest.people), towns AS (SELECT town, count(*) AS n FROM own GROUP BY town) "
        "SELECT own.id, towns.n FROM own JOIN towns ON towns.town = own.town",
        "SELECT id, (SELECT count(*) FROM latest.people) AS n FROM latest.people",
        "SELECT town AS id, count(*) AS n FROM (SELECT town FROM latest.people) GROUP BY town",
        "SELECT id FROM (SELECT id, count(*) OVER (PARTITION BY town) AS n FROM latest.people) WHERE n > 1",
    ],
)
def test_some_rows_depend_on_those_of_other_keys(sql: str) -> None:
    assert not is_by_key(sql, ("id",), ("latest.people",))
