"""A contract of sixty rules for payments, and ten of them.

Belongs here: rules as contracts have them. Does not belong here: measuring.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from itertools import zip_longest

import ibis.expr.types as ir
import pandera.ibis as pa
from pandera.ibis import IbisData

from assay.contracts import Date, Money, Published, Table, Timestamp
from assay.contracts import column as col
from assay.contracts.rules import Rule
from payments.contracts.vocabulary import CURRENCIES, REGIONS, STATUSES

SINCE = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
UNTIL = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
METHODS = ["card", "wallet", "bank_transfer", "sepa", "pix", "ach", "paypal", "cash", "direct_debit", "bnpl"]
SPAN = {"gt": SINCE, "lt": UNTIL}


class Sixty(Published):
    """The columns of `enriched.transactions`, with sixty rules: not null, ranges, lists, lengths, patterns, across columns."""

    transaction_id: str = col("Key", str_length={"max_value": 40}, str_startswith="pay_", str_matches="[a-z0-9_-]+$")
    customer_id: str = col("Who pays", str_length={"max_value": 40}, str_startswith="cust_", ne="cust_00000000")
    merchant_id: str = col(
        "Who is paid", str_length={"max_value": 40}, str_startswith="mer_", ne="mer_00000000", notin=["mer_test"]
    )
    amount: Money = col("Amount", ge=0.01, le=1_000_000, lt=2_000_000, gt=0, ne=999_999.99)
    currency: str = col("Currency", isin=CURRENCIES, str_length={"exact_value": 3}, str_matches="[A-Z]{3}$", notin=["XXX", "XTS"])
    status: str = col("State", isin=STATUSES, str_length={"max_value": 10}, notin=["lost"])
    failure_reason: str = col("Why it failed", nullable=True, str_length={"max_value": 60}, ne="", notin=["?"])
    region: str = col("Region", isin=REGIONS, str_length={"max_value": 5}, ne="MOON")
    payment_method: str = col("Method", nullable=True, str_length={"max_value": 20}, ne="barter")
    is_recurring: bool = col("Whether it recurs", nullable=True)
    sca_method: str = col("How they proved who they are", nullable=True, str_length={"max_value": 20}, ne="none", notin=["?"])
    transaction_timestamp: Timestamp = col("When", **SPAN)
    transaction_date: Date = col("Day", gt=SINCE.date(), lt=UNTIL.date(), ne=dt.date(1970, 1, 1))
    customer_registered_at: Timestamp = col("When they registered", nullable=True, **SPAN)
    created_at: Timestamp = col("When it was made", nullable=True, **SPAN)
    updated_at: Timestamp = col("When it was changed", nullable=True, **SPAN)

    @pa.dataframe_check
    def updated_after_created(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        return data.table.updated_at >= data.table.created_at

    @pa.dataframe_check
    def paid_after_registration(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        return data.table.updated_at >= data.table.customer_registered_at

    @pa.dataframe_check
    def failure_has_reason(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        row = data.table
        return (row.status != "failed") | row.failure_reason.notnull() | (row.data_source == "legacy_transactions")

    @pa.dataframe_check
    def large_payments_are_in_known_currencies(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        return (data.table.amount < 500_000) | (data.table.currency != "JPY")

    @pa.dataframe_check
    def nobody_pays_themselves(cls, data: IbisData) -> ir.BooleanColumn:  # noqa: N805
        return data.table.customer_id != data.table.merchant_id


BREAKING: dict[str, list[str]] = {
    "transaction_id": ["'X' || repeat('x', 40)"],
    "customer_id": ["'cust_00000000'", "repeat('x', 41)", "NULL"],
    "merchant_id": ["'mer_00000000'", "'mer_test'", "repeat('x', 41)", "NULL"],
    "amount": ["-1", "3000000", "999999.99", "NULL"],
    "currency": ["'long'", "'XXX'", "NULL"],
    "status": ["'lost'", "repeat('x', 11)", "NULL"],
    "failure_reason": ["''", "'?'", "repeat('x', 61)"],
    "region": ["'MOON'", "repeat('x', 6)", "NULL"],
    "payment_method": ["'barter'", "repeat('x', 21)"],
    "sca_method": ["'none'", "'?'", "repeat('x', 21)"],
    "transaction_timestamp": ["TIMESTAMPTZ '1999-01-01 00:00:00Z'", "TIMESTAMPTZ '2100-01-02 00:00:00Z'", "NULL"],
    "customer_registered_at": ["TIMESTAMPTZ '1999-01-01 00:00:00Z'", "TIMESTAMPTZ '2100-01-02 00:00:00Z'"],
    "created_at": ["TIMESTAMPTZ '1999-01-01 00:00:00Z'", "TIMESTAMPTZ '2100-01-02 00:00:00Z'"],
    "updated_at": ["TIMESTAMPTZ '1999-01-01 00:00:00Z'", "TIMESTAMPTZ '2100-01-02 00:00:00Z'"],
}
"""By column, as SQL, values that break its rules: all of them but those of the partition's day and of what publishing adds."""


def table_of(base: Table, count: int) -> Table:
    """The table with so many of the rules: one of every kind, then another of every kind, and so on."""
    table = replace(base, model=Sixty, severities={}, expects=())
    assert len(table.rules) == 60, len(table.rules)
    kinds: dict[str, list[Rule]] = {}
    for rule in table.rules:
        kinds.setdefault(_kind(rule), []).append(rule)
    in_turn = [rule for turn in zip_longest(*kinds.values()) for rule in turn if rule is not None]
    # The rules of a table are what its model says; here they are some of that.
    vars(table)["rules"] = tuple(in_turn[:count])
    return table


def _kind(rule: Rule) -> str:
    """What a rule does: the end of its name, where that begins with its column."""
    (first, *_) = rule.columns
    if not rule.name.startswith(f"{first}_"):
        return "across"
    kind = rule.name.removeprefix(f"{first}_")
    return "range" if kind in ("above", "at_least", "below", "at_most") else kind
