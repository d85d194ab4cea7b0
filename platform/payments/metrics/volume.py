"""Volume and value: how much is paid.

Belongs here: counts and amounts of payments by their state, their growth and concentration. Does not belong here: why
payments fail (`authorization`), what the company earns from them (`fees`).
"""

from __future__ import annotations

from assay.metrics import Average, Count, Cumulative, Derived, Group, Growth, Maximum, Minimum, Moving, Quantile, Rank, Share, Sum
from payments.contracts.vocabulary import OWNER
from payments.metrics.entities import BUSINESS, DAYS_UP, EVERYBODY, MEMBERS, WATCHED
from payments.metrics.facts import CAPTURED

VOLUME = Group(
    "volume",
    "Volume and value",
    fact="payments",
    owner=OWNER,
    tags=("core",),
    entities=EVERYBODY,
    adds_up={
        "payment_count": ("pending_count", "kept_count", "refunded_count", "disputed_count", "failed_count"),
        "gross_value_usd": (
            "pending_value_usd",
            "kept_value_usd",
            "refunded_value_usd",
            "disputed_value_usd",
            "failed_value_usd",
        ),
    },
    metrics=(
        Count("payment_count", "Payments", "Payments that customers tried to make, whatever became of them"),
        Count(
            "pending_count", "Pending payments", "Payments approved, whose money is not taken yet", where="status = 'authorized'"
        ),
        Count("kept_count", "Kept payments", "Payments whose money was taken and not given back", where="status = 'captured'"),
        Count(
            "refunded_count",
            "Payments refunded since",
            "Payments whose money was taken and has been given back by the merchant since, on whatever day",
            where="status = 'refunded'",
        ),
        Count(
            "disputed_count",
            "Payments disputed since",
            "Payments whose money was taken and has been demanded back by the customer's bank since, on whatever day",
            where="status = 'chargeback'",
        ),
        Count("failed_count", "Failed payments", "Payments that were declined or broke off", where="status = 'failed'"),
        Count(
            "captured_count", "Captured payments", "Payments whose money was taken, whatever became of it since", where=CAPTURED
        ),
        Sum("gross_value_usd", "Gross value", "What customers tried to pay, in US dollars at the day's rate", of="amount_usd"),
        Sum(
            "pending_value_usd",
            "Pending value",
            "What is approved and not taken yet",
            of="amount_usd",
            where="status = 'authorized'",
        ),
        Sum("kept_value_usd", "Kept value", "What was taken and not given back", of="amount_usd", where="status = 'captured'"),
        Sum(
            "refunded_value_usd",
            "Value refunded since",
            "Payments given back since, in full",
            of="amount_usd",
            where="status = 'refunded'",
        ),
        Sum(
            "disputed_value_usd",
            "Value disputed since",
            "Payments disputed since, in full",
            of="amount_usd",
            where="status = 'chargeback'",
        ),
        Sum(
            "failed_value_usd", "Failed value", "What customers tried to pay in vain", of="amount_usd", where="status = 'failed'"
        ),
        Sum(
            "captured_value_usd", "Captured value", "What was taken, whatever became of it since", of="amount_usd", where=CAPTURED
        ),
        Derived(
            "lost_value_usd",
            "Value that came to nothing",
            "What failed, was refunded or was disputed since",
            formula_of="failed_value_usd + refunded_value_usd + disputed_value_usd",
        ),
        Average("average_ticket_usd", "Average payment", "What a payment is worth on average", of="amount_usd"),
        Average(
            "average_captured_usd",
            "Average captured payment",
            "What a payment that went through is worth",
            of="amount_usd",
            where=CAPTURED,
        ),
        Maximum(
            "largest_payment_usd", "Largest payment", "The largest payment that went through", of="amount_usd", where=CAPTURED
        ),
        Minimum(
            "smallest_payment_usd", "Smallest payment", "The smallest payment that went through", of="amount_usd", where=CAPTURED
        ),
    ),
)

SIZES = Group(
    "sizes",
    "Sizes of payments",
    fact="payments",
    owner=OWNER,
    entities=WATCHED,
    grains=DAYS_UP,
    metrics=(
        Quantile("median_ticket_usd", "Median payment", "Half of the payments are not larger", of="amount_usd", q="0.5"),
        Quantile("p90_ticket_usd", "90 % of payments", "Nine of ten payments are not larger", of="amount_usd", q="0.9"),
        Quantile("p99_ticket_usd", "99 % of payments", "99 of 100 payments are not larger", of="amount_usd", q="0.99"),
        Count("micro_count", "Micro payments", "Payments below 5 US dollars", where="amount_usd < 5"),
        Count(
            "small_count", "Small payments", "Payments from 5 to below 50 US dollars", where="amount_usd >= 5 AND amount_usd < 50"
        ),
        Count(
            "medium_count",
            "Medium payments",
            "Payments from 50 to below 500 US dollars",
            where="amount_usd >= 50 AND amount_usd < 500",
        ),
        Count("large_count", "Large payments", "Payments of 500 US dollars and more", where="amount_usd >= 500"),
    ),
)

TRENDS = Group(
    "volume_trends",
    "Volume and value over time",
    fact="payments",
    owner=OWNER,
    tags=("trend",),
    entities=BUSINESS,
    metrics=(
        *(
            Moving(
                f"payment_count_{days}d",
                f"Payments, {days} days",
                f"Payments of the last {days} days",
                of="payment_count",
                days=days,
            )
            for days in (7, 30, 90)
        ),
        *(
            Moving(
                f"captured_value_usd_{days}d",
                f"Captured value, {days} days",
                f"What was taken in the last {days} days",
                of="captured_value_usd",
                days=days,
            )
            for days in (7, 30, 90)
        ),
        *(
            Moving(
                f"captured_value_usd_{days}d_daily",
                f"Daily captured value, {days} days",
                f"What was taken on a day, on average over the last {days} days",
                of="captured_value_usd",
                days=days,
                daily=True,
            )
            for days in (30, 90)
        ),
        *(
            Cumulative(
                f"{name}_{since[0]}td",
                f"{title}, {since} to date",
                f"{title} since the {since} began",
                of=name,
                since=since,
            )
            for name, title in (("payment_count", "Payments"), ("captured_value_usd", "Captured value"))
            for since in ("month", "year")
        ),
        *(
            Growth(
                f"{name}_{over}_growth",
                f"{title}, growth over a {over}",
                f"How much more than a {over} before, as a share; nothing where there was nothing to compare with",
                of=name,
                over=over,
            )
            for name, title in (
                ("payment_count", "Payments"),
                ("gross_value_usd", "Gross value"),
                ("captured_value_usd", "Captured value"),
            )
            for over in ("day", "week", "month", "year")
        ),
    ),
)

PLACES = Group(
    "places",
    "Shares and places",
    fact="payments",
    owner=OWNER,
    entities=MEMBERS,
    metrics=(
        Share("payment_share", "Share of payments", "Share of all the company's payments", of="payment_count"),
        Share("gross_value_share", "Share of gross value", "Share of all the company's gross value", of="gross_value_usd"),
        Share(
            "captured_value_share",
            "Share of captured value",
            "Share of all the company's captured value",
            of="captured_value_usd",
        ),
        Rank("payment_rank", "Place by payments", "Place among all by number of payments", of="payment_count"),
        Rank("captured_value_rank", "Place by captured value", "Place among all by what was taken", of="captured_value_usd"),
    ),
)
