"""Methods: how customers pay, and how they authenticate.

Belongs here: payments by method, by strong customer authentication (SCA) and by who started them. Does not belong here: declines
by reason (`authorization`).
"""

from __future__ import annotations

from assay.metrics import Conversion, Count, Group, Ratio, Sum
from payments.contracts.vocabulary import OWNER
from payments.metrics.entities import DAYS_UP, WATCHED
from payments.metrics.facts import APPROVED, CAPTURED

_METHODS = {"card": "a card", "wallet": "a wallet", "bank_transfer": "a bank transfer"}
_SCA = {"3ds2": "a 3-D Secure 2 challenge or check", "exempt": "an exemption from it", "none": "no strong authentication"}

METHODS = Group(
    "methods",
    "Payment methods",
    fact="payments",
    owner=OWNER,
    entities=WATCHED,
    grains=DAYS_UP,
    metrics=(
        *(
            Count(
                f"{method}_count", f"Payments by {said[2:]}", f"Payments made with {said}", where=f"payment_method = '{method}'"
            )
            for method, said in _METHODS.items()
        ),
        Count(
            "unknown_method_count",
            "Payments, method unknown",
            "Payments of which no method is known, as in archives",
            where="payment_method IS NULL",
        ),
        *(
            Sum(
                f"{method}_captured_value_usd",
                f"Captured by {said[2:]}",
                f"What was taken of payments made with {said}",
                of="amount_usd",
                where=f"payment_method = '{method}' AND {CAPTURED}",
            )
            for method, said in _METHODS.items()
        ),
        *(
            Conversion(
                f"{method}_approval_rate",
                f"Approval rate by {said[2:]}",
                f"Share of payments made with {said} that were approved",
                where=f"payment_method = '{method}'",
                reached=APPROVED,
            )
            for method, said in _METHODS.items()
        ),
        *(
            Ratio(
                f"{method}_share",
                f"Share by {said[2:]}",
                f"Share of payments that were made with {said}",
                of=f"{method}_count",
                to="payment_count",
            )
            for method, said in _METHODS.items()
        ),
    ),
)

SCA = Group(
    "sca",
    "Authentication",
    fact="payments",
    owner=OWNER,
    entities=WATCHED,
    grains=DAYS_UP,
    metrics=(
        *(
            Count(f"sca_{method}_count", f"Payments with {said}", f"Payments with {said}", where=f"sca_method = '{method}'")
            for method, said in _SCA.items()
        ),
        *(
            Conversion(
                f"sca_{method}_approval_rate",
                f"Approval rate with {said}",
                f"Share of payments with {said} that were approved",
                where=f"sca_method = '{method}'",
                reached=APPROVED,
            )
            for method, said in _SCA.items()
        ),
        Count(
            "recurring_count",
            "Recurring payments",
            "Payments that the customer did not start, as of a subscription",
            where="is_recurring",
        ),
        Sum(
            "recurring_captured_value_usd",
            "Recurring captured value",
            "What was taken of payments that the customer did not start",
            of="amount_usd",
            where=f"is_recurring AND {CAPTURED}",
        ),
        Ratio(
            "recurring_share",
            "Recurring share",
            "Share of payments that the customer did not start",
            of="recurring_count",
            to="payment_count",
        ),
        Conversion(
            "recurring_approval_rate",
            "Recurring approval rate",
            "Share of payments that the customer did not start that were approved",
            where="is_recurring",
            reached=APPROVED,
        ),
    ),
)
