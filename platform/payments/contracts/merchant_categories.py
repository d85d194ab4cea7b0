"""Merchant category codes (ISO 18245).

Belongs here: the source `merchant_categories` and `enriched.merchant_categories`. Does not belong here: merchants.
"""

from __future__ import annotations

from assay.contracts import Event, Published, RowCount, Severity, Whole, source, table
from assay.contracts import column as col
from assay.landing.formats import Csv
from payments.contracts.vocabulary import OWNER


@source(
    "merchant_categories",
    format=Csv(version=r"(\d{4}-?\d{2}-?\d{2})", unversioned="oldest"),
    key=("mcc",),
    partition=Whole(),
    owner=OWNER,
    subject="reference",
)
class MerchantCategoryRecord(Event):
    """A merchant category code, as in the public list."""

    mcc: str = col("The code")
    edited_description: str = col("What it means, in edited words", nullable=True)
    combined_description: str = col("The card schemes' descriptions combined", nullable=True)
    usda_description: str = col("What it means to the US Department of Agriculture", nullable=True)
    irs_description: str = col("What it means to the US tax office", nullable=True)
    irs_reportable: str = col("Whether payments are reported to the US tax office: `Yes`, or `No` and the section", nullable=True)


@table(
    "merchant_categories",
    layer="enriched",
    key=("mcc",),
    partition=Whole(),
    owner=OWNER,
    subject="reference",
    threshold=95.0,
    expects=(RowCount(at_least=1, severity=Severity.STOP, reason="without any, every payment loses its category"),),
)
class MerchantCategory(Published):
    """One row per merchant category code."""

    mcc: str = col("The code, four digits", str_matches="[0-9]{4}$")
    description: str = col("What it means, in edited words")
    combined_description: str = col("The card schemes' descriptions combined", nullable=True)
    usda_description: str = col("What it means to the US Department of Agriculture", nullable=True)
    irs_description: str = col("What it means to the US tax office", nullable=True)
    is_irs_reportable: bool = col("Whether payments are reported to the US tax office", nullable=True)
