"""The metrics of a payments company, one module per group.

Belongs here: what is counted (`facts`), what it is grouped by (`entities`), and every metric in words that a merchant
understands. Does not belong here: SQL of marts, which is generated, anything computed.
"""

from assay.metrics import DeclaredMetrics

METRICS = DeclaredMetrics(__name__)
