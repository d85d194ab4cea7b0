"""A domain's SQL held against its contracts: whatever does not agree is said with file and line before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import shop
from declared import domain_of

from assay.contracts import Balance, Cadence, Contract, Count, Event, Money, Number, Published, column, source, table
from assay.engine.project import Node, Project, load_project
from assay.errors import ContractError, SqlError
from assay.landing.formats import Debezium

TAIL = "_ingested_at AS ingestion_timestamp, _source AS data_source FROM latest.orders"
GOOD = f"SELECT id, amount::DECIMAL(18,2) AS amount,\n  {TAIL}"


def declare(
    name: str = "totals", layer: Any = "enriched", ge: int = 0, description: str = "Amount", **options: Any
) -> type[Contract]:
    @table(name, layer=layer, key=("id",), owner="team:x", subject="x", **options)
    class Totals(Published):
        """A table."""

        id: str = column("Key")
        amount: Money = column(description, ge=ge)

    Totals.__name__ = name
    return Totals


def orders(key: tuple[str, ...] = ("id",)) -> type[Contract]:
    @source("orders", format=Debezium("orders"), key=key, owner="team:x", subject="x")
    class Orders(Event):
        """Events."""

        id: str = column("Key")
        amount: str = column("Amount", nullable=True)

    return Orders


@pytest.fixture
def load(tmp_path: Path):
    """Load a made-up domain."""

    def run(contracts: list[type[Contract]], sql: Mapping[str, str]) -> Project:
        return load_project(domain_of(tmp_path, contracts, sql))

    return run


def node(load: Any, sql: str = GOOD, key: tuple[str, ...] = ("id",), **options: Any) -> Node:
    return load([orders(key), declare(**options)], {"enriched.totals": sql}).nodes["enriched.totals"]


class TestAgreement:
    def test_tables_come_after_what_they_read(self) -> None:
        project = load_project(shop.DOMAIN)
        order = list(project.nodes)
        assert all(order.index(up) < order.index(name) for name in order for up in project.upstream(name) if up in order)
        assert project.upstream("enriched.orders") == ("enriched.customers", "raw.orders")

    def test_a_column_that_only_the_contract_has_is_said(self, load, tmp_path: Path) -> None:
        with pytest.raises(SqlError) as raised:
            node(load, f"SELECT id, {TAIL}")
        message = raised.value.message
        assert message.startswith(
            f"{tmp_path}/enriched/totals.sql:1: the SQL of enriched.totals does not produce amount, which its contract declares ("
        )

    def test_a_column_that_only_the_sql_has_is_said_with_its_line(self, load, tmp_path: Path) -> None:
        with pytest.raises(SqlError) as raised:
            node(load, f"SELECT id, amount::DECIMAL(18,2) AS amount,\n  1 AS extra,\n  {TAIL}")
        assert raised.value.message.startswith(
            f"{tmp_path}/enriched/totals.sql:2: the SQL of enriched.totals produces extra, which its contract does not declare"
        )

    def test_a_column_of_the_engines_own_is_said_to_be_one(self, load) -> None:
        with pytest.raises(SqlError, match=r"job_run_id.*the engine adds this column itself"):
            node(load, GOOD.replace("SELECT", "SELECT 'x' AS job_run_id,"))

    def test_a_place_in_the_contract_is_file_and_line_for_a_contract_in_a_file(self, tmp_path: Path) -> None:
        broken = shop.DOMAIN.__class__(name="shop", contracts="shop", sql=tmp_path, start=shop.DOMAIN.start)
        for path in shop.DOMAIN.sql.rglob("*.sql"):
            copy = tmp_path / path.relative_to(shop.DOMAIN.sql)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(
                path.read_text().replace("customer_id, name,", "customer_id,")
                if path.name == "customers.sql"
                else path.read_text()
            )
        lines = Path(shop.__file__).read_text().splitlines()
        place = next(number for number, line in enumerate(lines, start=1) if '"customers", layer=' in line)
        with pytest.raises(SqlError) as raised:
            load_project(broken)
        said = f"does not produce name, which its contract declares ({shop.__file__}:{place})"
        assert f"customers.sql:1: the SQL of enriched.customers {said}" in raised.value.message

    @pytest.mark.parametrize("expression", ["amount::DOUBLE", "amount::DOUBLE * 2", "avg(amount::DOUBLE) OVER ()", "0.1::FLOAT"])
    def test_money_computed_as_a_float_is_refused(self, load, expression: str) -> None:
        with pytest.raises(
            SqlError,
            match=r"totals.sql:2: amount of enriched.totals is computed as (DOUBLE|FLOAT), but its contract says DECIMAL\(18,2\)",
        ):
            node(load, f"SELECT id,\n{expression} AS amount, {TAIL}")

    def test_an_inexact_number_may_be_a_float(self, load) -> None:
        @table("totals", layer="enriched", key=("id",), owner="team:x", subject="x")
        class Scores(Published):
            """A table."""

            id: str = column("Key")
            amount: Number = column("A share")

        assert (
            load([orders(), Scores], {"enriched.totals": f"SELECT id, amount::DOUBLE AS amount, {TAIL}"})
            .nodes["enriched.totals"]
            .casts
            == {}
        )

    def test_a_column_of_another_type_is_to_be_cast(self, load) -> None:
        assert node(load, f"SELECT id, amount, {TAIL}").casts == {"amount": "DECIMAL(18,2)"}
        assert node(load).casts == {}

    def test_a_name_that_no_relation_has_is_said_with_its_line(self, load) -> None:
        with pytest.raises(SqlError, match=r"totals.sql:3: .*amuont"):
            node(load, f"SELECT id,\n\n  amuont::DECIMAL(18,2) AS amount, {TAIL}")

    def test_a_missing_file_is_said(self, load) -> None:
        with pytest.raises(SqlError, match=r"enriched/totals.sql: there is no such file"):
            load([orders(), declare()], {})

    def test_sql_that_no_contract_declares_is_said(self, load, tmp_path: Path) -> None:
        with pytest.raises(SqlError) as raised:
            load([orders(), declare()], {"enriched.totals": GOOD, "marts.totals_by_day": GOOD})
        assert raised.value.message == f"{tmp_path}/marts/totals_by_day.sql:1: no contract declares marts.totals_by_day"


class TestBetweenTables:
    READS = "SELECT id, amount, ingestion_timestamp, data_source\nFROM {}"

    def test_a_cycle_is_said_with_file_and_line(self, load) -> None:
        contracts = [declare("a", "marts"), declare("b", "marts")]
        with pytest.raises(SqlError, match=r"marts/[ab].sql:2: marts.[ab] reads marts.[ab] reads marts.[ab], which is a cycle"):
            load(contracts, {"marts.a": self.READS.format("marts.b"), "marts.b": self.READS.format("marts.a")})

    def test_a_table_that_reads_itself_is_a_cycle(self, load) -> None:
        with pytest.raises(SqlError, match=r"marts/a.sql:2: marts.a reads marts.a, which is a cycle"):
            load([declare("a", "marts")], {"marts.a": self.READS.format("marts.a")})

    def test_an_enriched_table_reads_no_mart(self, load) -> None:
        contracts = [orders(), declare("a", "marts"), declare("b", "enriched")]
        with pytest.raises(
            SqlError, match=r"enriched/b.sql:2: enriched.b reads marts.a, but enriched tables are built before marts"
        ):
            load(contracts, {"marts.a": GOOD, "enriched.b": self.READS.format("marts.a")})

    @pytest.mark.parametrize(
        ("reads", "is_read"),
        [(Cadence.AT_ONCE, Cadence.HOURLY), (Cadence.AT_ONCE, Cadence.DAILY), (Cadence.HOURLY, Cadence.DAILY)],
    )
    def test_a_table_does_not_wait_for_one_that_is_built_later(self, load, reads: Cadence, is_read: Cadence) -> None:
        sql = {"marts.a": GOOD, "marts.b": self.READS.format("marts.a")}
        with pytest.raises(SqlError, match=rf"marts/b.sql:2: marts.b is {reads} and reads marts.a, which is {is_read}"):
            load([orders(), declare("a", "marts", cadence=is_read), declare("b", "marts", cadence=reads)], sql)
        load([orders(), declare("a", "marts", cadence=reads), declare("b", "marts", cadence=is_read)], sql)

    def test_books_over_two_inputs_must_be_defined(self, load) -> None:
        both = f"SELECT id, amount::DECIMAL(18,2) AS amount, {TAIL} SEMI JOIN changes.orders AS c USING (id)"
        with pytest.raises(
            ContractError, match=r"its books are not defined, because .*totals.sql reads changes.orders, latest.orders"
        ):
            node(load, both)
        assert node(load, both, balance=Balance(inputs=("latest.orders",))).inputs == ("latest.orders",)

    def test_a_balance_over_what_is_not_read_is_said(self, load) -> None:
        with pytest.raises(ContractError, match=r"its balance names changes.orders, which .*totals.sql does not read"):
            node(load, balance=Balance(inputs=("changes.orders",)))


class TestCodeVersion:
    def test_descriptions_comments_and_layout_do_not_count(self, load) -> None:
        before = node(load).code
        assert node(load, f"-- a comment\n{GOOD.lower().replace('decimal', 'DECIMAL')}\n\n").code == before
        assert node(load, description="Said better").code == before

    def test_sql_rules_and_the_keys_of_what_is_folded_count(self, load) -> None:
        versions = {
            node(load).code,
            node(load, GOOD + " WHERE id <> 'x'").code,
            node(load, ge=1).code,
            node(load, money="amount").code,
            node(load, key=("id", "amount")).code,
        }
        assert len(versions) == 5


def test_counts_and_windows_are_told_by_their_types(load) -> None:
    @table(
        "totals", layer="enriched", key=("id",), owner="team:x", subject="x", balance=Balance(inputs=("latest.orders",), rows="n")
    )
    class Counted(Published):
        """A table."""

        id: str = column("Key")
        n: Count = column("How many")

    sql = "SELECT id, count(*) AS n, max(_ingested_at) AS ingestion_timestamp, 'x' AS data_source FROM latest.orders GROUP BY id"
    assert load([orders(), Counted], {"enriched.totals": sql}).nodes["enriched.totals"].casts == {}
