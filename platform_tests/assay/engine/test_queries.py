"""What one SQL file says: which columns it reads, where its own come from, and what is wrong with it and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.engine.queries import Query, read_query
from assay.errors import SqlError

SCHEMA = {
    "latest": {
        "orders": {"id": "VARCHAR", "who": "VARCHAR", "amount": "VARCHAR", "at": "DATE", "items": "JSON"},
        "people": {"who": "VARCHAR", "name": "VARCHAR"},
    },
    "enriched": {"rates": {"day": "DATE", "rate": "DECIMAL(18,8)"}},
    "marts": {},
}


@pytest.fixture
def read(tmp_path: Path):
    """Read a text as a SQL file."""

    def run(sql: str) -> Query:
        path = tmp_path / "table.sql"
        path.write_text(sql, encoding="utf-8")
        return read_query(path, SCHEMA)

    return run


def origins(query: Query, column: str) -> set[str]:
    return {f"{origin.relation}.{origin.column}" for origin in query.lineage[column]}


class TestReads:
    def test_used_columns_are_those_of_any_part(self, read) -> None:
        query = read(
            "SELECT o.id FROM latest.orders AS o JOIN enriched.rates AS r ON r.day = o.at "
            "WHERE o.amount IS NOT NULL AND EXISTS (SELECT 1 FROM latest.people AS p WHERE p.who = o.who) ORDER BY o.items"
        )
        assert query.reads == {
            "enriched.rates": ("day",),
            "latest.orders": ("amount", "at", "id", "items", "who"),
            "latest.people": ("who",),
        }

    def test_a_star_below_the_top_reads_every_column(self, read) -> None:
        query = read("WITH every AS (SELECT * FROM latest.people) SELECT name FROM every")
        assert query.reads == {"latest.people": ("name", "who")}

    def test_columns_without_their_table_are_found(self, read) -> None:
        query = read("SELECT name, rate FROM latest.people, enriched.rates")
        assert query.reads == {"enriched.rates": ("rate",), "latest.people": ("name",)}

    def test_one_relation_read_twice_is_one(self, read) -> None:
        query = read("SELECT a.id FROM latest.orders AS a JOIN latest.orders AS b ON a.id = b.who")
        assert query.reads == {"latest.orders": ("id", "who")}

    def test_a_join_by_using_reads_both_sides(self, read) -> None:
        assert read("SELECT name FROM latest.orders JOIN latest.people USING (who)").reads["latest.orders"] == ("who",)

    def test_a_relation_of_which_only_rows_count_is_read(self, read) -> None:
        assert read("SELECT count(*) AS n FROM latest.orders").reads == {"latest.orders": ()}

    def test_each_branch_of_a_union_counts(self, read) -> None:
        query = read("SELECT id AS x FROM latest.orders UNION ALL SELECT who FROM latest.people")
        assert query.reads == {"latest.orders": ("id",), "latest.people": ("who",)}

    def test_a_lateral_unnest_reads_the_list(self, read) -> None:
        query = read("SELECT o.id, i.item FROM latest.orders AS o, unnest(from_json(o.items, '[\"VARCHAR\"]')) AS i(item)")
        assert query.reads == {"latest.orders": ("id", "items")}

    def test_a_query_by_name_of_its_with_clause_is_no_relation(self, read) -> None:
        query = read("WITH rates AS (SELECT who FROM latest.people) SELECT who FROM rates")
        assert list(query.reads) == ["latest.people"]

    def test_a_recursive_query_reads_what_it_starts_from(self, read) -> None:
        query = read(
            "WITH RECURSIVE days AS (SELECT day FROM enriched.rates UNION ALL SELECT (day + INTERVAL 1 DAY)::DATE FROM days "
            "WHERE day < DATE '2025-01-09') SELECT day FROM days"
        )
        assert query.reads == {"enriched.rates": ("day",)}
        assert origins(query, "day") == {"enriched.rates.day"}


class TestLineage:
    @pytest.mark.parametrize(
        ("sql", "expected"),
        [
            ("SELECT upper(o.who) || o.id AS x FROM latest.orders AS o", {"latest.orders.who", "latest.orders.id"}),
            (
                "WITH a AS (SELECT amount AS b FROM latest.orders), c AS (SELECT b AS d FROM a) SELECT d AS x FROM c",
                {"latest.orders.amount"},
            ),
            ("SELECT s.y AS x FROM (SELECT name AS y FROM latest.people) AS s", {"latest.people.name"}),
            (
                "SELECT id AS x FROM latest.orders UNION ALL SELECT who FROM latest.people",
                {"latest.orders.id", "latest.people.who"},
            ),
            (
                "WITH u AS (SELECT id AS k FROM latest.orders UNION SELECT name FROM latest.people) SELECT k AS x FROM u",
                {"latest.orders.id", "latest.people.name"},
            ),
            (
                "SELECT sum(amount::INT) OVER (PARTITION BY who ORDER BY at) AS x FROM latest.orders",
                {"latest.orders.amount", "latest.orders.who", "latest.orders.at"},
            ),
            (
                "SELECT CASE WHEN r.rate > 1 THEN o.amount END AS x FROM latest.orders AS o JOIN enriched.rates AS r ON true",
                {"latest.orders.amount", "enriched.rates.rate"},
            ),
            (
                "SELECT (SELECT max(p.name) FROM latest.people AS p WHERE p.who = o.who) AS x FROM latest.orders AS o",
                {"latest.people.name"},
            ),
            ("SELECT 1 AS x FROM latest.orders", set()),
            ("WITH e AS (SELECT * FROM latest.people) SELECT name AS x FROM e", {"latest.people.name"}),
        ],
        ids=[
            "expression",
            "with",
            "subquery",
            "union",
            "union in with",
            "window",
            "case over a join",
            "scalar subquery",
            "constant",
            "star",
        ],
    )
    def test_a_column_leads_to_what_it_is_computed_from(self, read, sql: str, expected: set[str]) -> None:
        assert expected <= origins(read(sql), "x")
        assert {origin.split(".")[1] for origin in origins(read(sql), "x")} <= {name.split(".")[1] for name in expected} | {
            "orders"
        }


class TestVersion:
    def test_comments_layout_and_case_of_keywords_do_not_count(self, read) -> None:
        plain = read("SELECT id, amount FROM latest.orders WHERE id <> 'a'").canonical
        laid_out = "-- what\nselect\n  id, -- the key\n  amount\nfrom latest.orders /* all */\nwhere id != 'a';\n"
        assert read(laid_out).canonical == plain

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT id, amount FROM latest.orders WHERE id <> 'b'",
            "SELECT id, amount FROM latest.orders WHERE id <> 'A'",
            "SELECT id, amount FROM latest.orders",
            "SELECT id, who AS amount FROM latest.orders WHERE id <> 'a'",
            "SELECT DISTINCT id, amount FROM latest.orders WHERE id <> 'a'",
        ],
    )
    def test_what_decides_rows_counts(self, read, sql: str) -> None:
        assert read(sql).canonical != read("SELECT id, amount FROM latest.orders WHERE id <> 'a'").canonical


class TestErrors:
    @pytest.mark.parametrize(
        ("sql", "line", "said"),
        [
            ("SELECT id\nFROM latest.order", 2, "there is no latest.order"),
            ("SELECT id\n\nFROM newest.orders", 3, "there is no newest.orders"),
            ("SELECT id\nFROM orders", 2, "orders has no layer"),
            ("SELECT *\nFROM latest.orders", 1, "the top SELECT has a *"),
            ("SELECT o.*\nFROM latest.orders AS o", 1, "the top SELECT has a *"),
            ("SELECT * EXCLUDE (id)\nFROM latest.orders", 1, "the top SELECT has a *"),
            ("FROM latest.orders", 1, "the top SELECT has a *"),
            ("SELECT id FROM latest.orders UNION ALL SELECT * FROM latest.people", 1, "the top SELECT has a *"),
            ("SELECT id,\nFROM latest.orders WHERE (", 2, ""),
            ("SELECT 1 AS a; SELECT 2 AS a", 1, "a table is one SELECT"),
            ("DELETE FROM latest.orders", 1, "a table is one SELECT"),
            ("", 1, "there is no SQL in this file"),
            ("-- One row an order.\n", 1, "there is no SQL in this file"),
            ("SELECT 'a\nb' AS b,\n'c AS c\nFROM latest.orders", 3, "is never closed"),
            ("SELECT id\nFROM latest.orders\n/* note", 3, "is never closed"),
        ],
    )
    def test_an_error_names_file_and_line(self, read, tmp_path: Path, sql: str, line: int, said: str) -> None:
        with pytest.raises(SqlError) as raised:
            read(sql)
        assert raised.value.message.startswith(f"{tmp_path / 'table.sql'}:{line}: ")
        assert said in raised.value.message
        assert raised.value.hint

    def test_what_is_no_text_is_said_with_its_line(self, tmp_path: Path) -> None:
        path = tmp_path / "table.sql"
        path.write_bytes("SELECT id,\n  'café' AS place\nFROM latest.orders".encode("latin-1"))
        with pytest.raises(SqlError) as raised:
            read_query(path, SCHEMA)
        assert raised.value.message == f"{path}:2: not UTF-8 text"

    def test_a_file_that_is_not_there_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(SqlError, match="there is no such file"):
            read_query(tmp_path / "none.sql", SCHEMA)
