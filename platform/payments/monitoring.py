"""The monitoring rules against money laundering: what they find, why, and their parameters.

Belongs here: the declarations. Does not belong here: the SQL that finds alerts (`assets_sql/marts/aml_<rule>.sql`), their
contracts (`contracts.aml`).

An alert is a reason to look, not a verdict. Failed payments do not count. Amounts are in dollars at the rates of each payment's
day, so that a rule means the same in every currency. The parameters are the company's own, to be set by its risk assessment
(FATF Recommendation 1) and changed after a back-test: `assay monitoring backtest`.
"""

from __future__ import annotations

from decimal import Decimal

from assay.contracts import MonitoringRule, Parameter

OWNER = "team:compliance"
"""The team that reviews alerts."""
PAYMENTS = "marts.transactions_enriched"
REFUNDS = "marts.refunds_enriched"

STRUCTURING = MonitoringRule(
    name="structuring",
    title="Structuring just under a threshold",
    finds="several payments of one customer, each a little below the threshold, which together reach it",
    why="Whoever wants to move a large amount without being reported cuts it into pieces that are too small to be.",
    guidance="31 U.S.C. 5324 and 31 CFR 1010.314 (structuring); 31 CFR 1010.311 (the threshold of 10,000 dollars); "
    "FFIEC BSA/AML Examination Manual, Appendix G",
    table="marts.aml_structuring",
    reads=PAYMENTS,
    window_days=7,
    measures="USD",
    severity="high",
    owner=OWNER,
    own_parameters=(
        Parameter("threshold", "Amount from which on a payment would be looked at by itself", Decimal("10000.00"), "USD"),
        Parameter(
            "near_share",
            "Share of the threshold from which on a payment is just under it",
            Decimal("0.80"),
            "share, 0 to 1",
            most=1,
        ),
        Parameter("min_payments", "How many of them it takes", 3, "payments", least=1),
    ),
)

VELOCITY = MonitoringRule(
    name="velocity",
    title="Many payments in a short time",
    finds="more payments of one customer within some hours than people make",
    why="Stolen cards are used up, and mule accounts emptied, before somebody notices.",
    guidance="FATF, Guidance for a Risk-Based Approach: Prepaid Cards, Mobile Payments and Internet-Based Payment Services "
    "(2013); FFIEC BSA/AML Examination Manual, Appendix F",
    table="marts.aml_velocity",
    reads=PAYMENTS,
    window_days=2,
    measures="payments",
    severity="medium",
    owner=OWNER,
    own_parameters=(
        Parameter("hours", "How long before a payment the others may be", 24, "hours", is_reach=True),
        Parameter("min_payments", "How many payments, that one included, it takes", 10, "payments", least=1),
    ),
)

ROUND_AMOUNTS = MonitoringRule(
    name="round_amounts",
    title="Large round amounts",
    finds="large payments of one customer, nearly all of round amounts",
    why="What is bought has a price; what is only moved has an amount that somebody chose.",
    guidance="FFIEC BSA/AML Examination Manual, Appendix F (transfers in large, round dollar amounts)",
    table="marts.aml_round_amounts",
    reads=PAYMENTS,
    window_days=30,
    measures="payments",
    severity="low",
    owner=OWNER,
    own_parameters=(
        Parameter(
            "multiple",
            "Of which a round amount is a multiple, in the currency that was charged",
            100,
            "units of the currency",
            least=1,
        ),
        Parameter("min_amount", "From which amount on a payment is large", Decimal("500.00"), "USD"),
        Parameter("min_payments", "How many large round payments it takes", 5, "payments", least=1),
        Parameter(
            "min_share", "Share of the customer's large payments that must be round", Decimal("0.80"), "share, 0 to 1", most=1
        ),
    ),
)

RAPID_IN_AND_OUT = MonitoringRule(
    name="rapid_in_and_out",
    title="Rapid in and out",
    finds="payments of one customer that were given back, nearly whole, soon after they were made",
    why="A refund turns money of unknown origin into money from a merchant.",
    guidance="FATF, Money Laundering Using New Payment Methods (2010); FFIEC BSA/AML Examination Manual, Appendix F",
    table="marts.aml_rapid_in_and_out",
    reads=REFUNDS,
    window_days=7,
    measures="USD",
    severity="high",
    owner=OWNER,
    own_parameters=(
        Parameter("max_hours", "How long after the payment the money may be given back", 72, "hours"),
        Parameter("min_share", "Share of the payment that must be given back", Decimal("0.90"), "share, 0 to 1", most=1),
        Parameter("min_payments", "How many payments it takes", 2, "payments", least=1),
        Parameter("min_amount", "What must be given back of them together", Decimal("1000.00"), "USD"),
    ),
)

HIGH_RISK_CORRIDORS = MonitoringRule(
    name="high_risk_corridors",
    title="High-risk corridors",
    finds="payments of one customer from or to a country on the list, which together are worth much",
    why="Countries with strategic deficiencies against money laundering call for enhanced due diligence.",
    guidance="FATF Recommendation 19; FATF, High-Risk Jurisdictions subject to a Call for Action (21 February 2025); review the "
    "list whenever FATF publishes",
    table="marts.aml_high_risk_corridors",
    reads=PAYMENTS,
    window_days=30,
    measures="USD",
    severity="high",
    owner=OWNER,
    own_parameters=(
        Parameter("countries", "The list", ("IR", "KP", "MM"), "ISO 3166 codes"),
        Parameter("min_amount", "What the payments must be worth together", Decimal("1000.00"), "USD"),
    ),
)

DORMANT_AWAKENING = MonitoringRule(
    name="dormant_awakening",
    title="Dormant account awakening",
    finds="payments worth much on one day, of a customer who had registered more than a day before the window and paid nothing "
    "in it until then",
    why="Accounts that nobody uses are bought and stolen, because they look old.",
    guidance="FATF, Guidance for Financial Institutions in Detecting Terrorist Financing (2002), Annex 1 (dormant accounts)",
    table="marts.aml_dormant_awakening",
    reads=PAYMENTS,
    window_days=91,
    measures="USD",
    severity="medium",
    owner=OWNER,
    own_parameters=(Parameter("min_amount", "What the payments of the day must be worth together", Decimal("1000.00"), "USD"),),
)

RULES = (STRUCTURING, VELOCITY, ROUND_AMOUNTS, RAPID_IN_AND_OUT, HIGH_RISK_CORRIDORS, DORMANT_AWAKENING)
"""All rules."""
