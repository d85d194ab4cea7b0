"""A real shop's invoices: the domain that shows that another business needs declarations only.

Belongs here: what UCI Online Retail is, as contracts and SQL. Does not belong here: machinery, tests.

The data (D. Chen, "Online Retail", UCI Machine Learning Repository, CC BY 4.0) are the invoice lines of a British wholesaler of
gifts, 2010-12-01 to 2011-12-09, one file a day.
"""

from datetime import date
from pathlib import Path

from assay.contracts import Domain

DOMAIN = Domain(name="retail", contracts="retail.contracts", sql=Path(__file__).parent / "sql", start=date(2010, 12, 1))
