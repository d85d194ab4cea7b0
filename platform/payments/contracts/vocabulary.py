"""The vocabularies of payments data, and the formats in which producers write values.

Belongs here: closed vocabularies shared by several contracts, and the DuckDB expressions that a *source* needs to parse a
messy text (its day, its amount). Does not belong here: contracts.

SQL files repeat the two expressions, because a file must run by hand unchanged; a test checks that they are equal.
"""

CURRENCIES = ("BRL", "EUR", "GBP", "JPY", "USD")
"""ISO 4217 codes in which the company takes payments."""

REGIONS = ("APAC", "EU", "LATAM", "NA")
"""Sales regions."""

STATUSES = ("authorized", "captured", "chargeback", "failed", "refunded")
"""States of a payment: authorized → captured → refunded or chargeback; or failed."""

DECLINE_REASONS = {
    "insufficient_funds": "funds",
    "expired_card": "card",
    "do_not_honor": "issuer",
    "fraud_suspected": "fraud",
    "processing_error": "technical",
}
"""Why payments fail, and the group of each reason: what would have to change for the payment to succeed."""

DECLINE_GROUPS = ("card", "fraud", "funds", "issuer", "other", "technical", "unknown")
"""Groups of decline reasons; `other` for a reason that is not listed, `unknown` where none was given."""

REFUND_STATES = ("failed", "pending", "succeeded")
"""States of a refund: pending → succeeded or failed."""

REFUND_REASONS = ("cancelled", "damaged", "duplicate", "fraudulent", "goodwill", "not_received", "other", "returned")
"""Why money was given back, as the merchant states it."""

DISPUTE_STATES = ("lost", "open", "won")
"""States of a dispute, as the merchant sees it: open → won or lost."""

DISPUTE_REASONS = {
    ("visa", "10.1"): "fraud",
    ("visa", "10.3"): "fraud",
    ("visa", "10.4"): "fraud",
    ("visa", "10.5"): "fraud",
    ("visa", "11.1"): "authorization",
    ("visa", "11.2"): "authorization",
    ("visa", "11.3"): "authorization",
    ("visa", "12.5"): "processing",
    ("visa", "12.6.1"): "processing",
    ("visa", "12.6.2"): "processing",
    ("visa", "13.1"): "consumer",
    ("visa", "13.2"): "consumer",
    ("visa", "13.3"): "consumer",
    ("visa", "13.5"): "consumer",
    ("visa", "13.6"): "consumer",
    ("visa", "13.7"): "consumer",
    ("mastercard", "4837"): "fraud",
    ("mastercard", "4849"): "fraud",
    ("mastercard", "4870"): "fraud",
    ("mastercard", "4871"): "fraud",
    ("mastercard", "4808"): "authorization",
    ("mastercard", "4834"): "processing",
    ("mastercard", "4853"): "consumer",
    ("amex", "F24"): "fraud",
    ("amex", "F29"): "fraud",
    ("amex", "F30"): "fraud",
    ("amex", "A01"): "authorization",
    ("amex", "A02"): "authorization",
    ("amex", "P05"): "processing",
    ("amex", "P08"): "processing",
    ("amex", "C02"): "consumer",
    ("amex", "C08"): "consumer",
    ("amex", "C28"): "consumer",
    ("amex", "C31"): "consumer",
    ("bank", "MD01"): "authorization",
    ("bank", "MD06"): "consumer",
}
"""Category by network and reason code of a dispute.

Sources: Visa Core Rules and Visa Product and Service Rules, section 11 (dispute conditions 10 fraud, 11 authorization,
12 processing errors, 13 consumer disputes); Mastercard Chargeback Guide (message reason codes); American Express Merchant
Operating Guide, chargeback codes; for debits of bank accounts ISO 20022, ExternalReturnReason1Code (MD01 no mandate, MD06
refund asked for by the customer).
"""

DISPUTE_NETWORKS = tuple(sorted({network for network, _ in DISPUTE_REASONS}))
"""The networks whose rules disputes follow."""

DISPUTE_CATEGORIES = tuple(sorted(set(DISPUTE_REASONS.values())))
"""What a dispute is about."""

OWNER = "team:payments"
"""The team responsible for every table of the domain."""


def money(column: str) -> str:
    """Write the DuckDB expression that parses an amount: `150`, `150.50`, `$1,234.50`.

    A comma is accepted only as a thousands separator: `1.234,50` is invalid rather than a hundred times too small.

    Args:
        column: The text column.

    Returns:
        An expression of type `DECIMAL(18,2)`, rounded half away from zero; null for an invalid amount.
    """
    text = f"trim({column}, ' $')"
    return (
        f"TRY_CAST(CASE WHEN NOT contains({column}, ',') THEN {text} "
        f"WHEN regexp_full_match({text}, '[0-9]{{1,3}}(,[0-9]{{3}})+([.][0-9]+)?') THEN replace({text}, ',', '') END "
        "AS DECIMAL(18,2))"
    )


def instant(column: str) -> str:
    """Write the DuckDB expression that parses an instant in any of the formats that producers use.

    The formats: ISO 8601 (`2025-01-03T14:05:09Z`, `2025-01-03 14:05:09`, `2025-01-03`; UTC unless an offset is given),
    American (`01/03/2025 14:05:09`, `01/03/2025`; month first) and Unix seconds (`1735913109`).

    Args:
        column: The text column.

    Returns:
        An expression of type `TIMESTAMP`, UTC; null for an invalid instant.
    """
    return (
        f"CASE WHEN contains({column}, '-') THEN make_timestamp(epoch_us(TRY_CAST({column} AS TIMESTAMPTZ))) "
        f"WHEN contains({column}, '/') THEN try_strptime(trim({column}), ['%m/%d/%Y %H:%M:%S', '%m/%d/%Y']) "
        f"WHEN regexp_full_match(trim({column}), '[0-9]{{9,10}}') "
        f"THEN make_timestamp(1000000 * TRY_CAST({column} AS BIGINT)) END"
    )
