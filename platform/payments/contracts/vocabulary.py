"""The words that payments data may use, and how its producers write values.

Belongs here: closed vocabularies shared by several contracts, and the DuckDB expressions that a *source* needs to read a
messy text (its day, its amount). Does not belong here: contracts.

SQL files repeat the two expressions, because a file must run by hand as it stands; a test holds them equal.
"""

CURRENCIES = ("BRL", "EUR", "GBP", "JPY", "USD")
"""ISO 4217 codes in which the company takes payments."""

REGIONS = ("APAC", "EU", "LATAM", "NA")
"""Sales regions."""

STATUSES = ("authorized", "captured", "chargeback", "failed", "refunded")
"""States of a payment: authorized → captured → refunded or chargeback; or failed."""

OWNER = "team:payments"
"""Who answers for every table of the domain."""


def money(column: str) -> str:
    """Write the DuckDB expression that reads an amount: `150`, `150.50`, `$1,234.50`.

    A comma counts only as a separator of thousands: `1.234,50` is no amount, rather than one a hundred times too small.

    Args:
        column: The text column.

    Returns:
        An expression of type `DECIMAL(18,2)`, rounded half away from zero; null for what is no amount.
    """
    text = f"trim({column}, ' $')"
    return (
        f"TRY_CAST(CASE WHEN NOT contains({column}, ',') THEN {text} "
        f"WHEN regexp_full_match({text}, '[0-9]{{1,3}}(,[0-9]{{3}})+([.][0-9]+)?') THEN replace({text}, ',', '') END "
        "AS DECIMAL(18,2))"
    )


def instant(column: str) -> str:
    """Write the DuckDB expression that reads an instant in any of the forms that producers use.

    The forms: ISO 8601 (`2025-01-03T14:05:09Z`, `2025-01-03 14:05:09`, `2025-01-03`; UTC unless an offset is written),
    American (`01/03/2025 14:05:09`, `01/03/2025`; month first) and Unix seconds (`1735913109`).

    Args:
        column: The text column.

    Returns:
        An expression of type `TIMESTAMP`, UTC; null for what is no instant.
    """
    return (
        f"CASE WHEN contains({column}, '-') THEN make_timestamp(epoch_us(TRY_CAST({column} AS TIMESTAMPTZ))) "
        f"WHEN contains({column}, '/') THEN try_strptime(trim({column}), ['%m/%d/%Y %H:%M:%S', '%m/%d/%Y']) "
        f"WHEN regexp_full_match(trim({column}), '[0-9]{{9,10}}') "
        f"THEN make_timestamp(1000000 * TRY_CAST({column} AS BIGINT)) END"
    )
