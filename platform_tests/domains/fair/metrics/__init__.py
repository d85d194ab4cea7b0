"""What the fair counts.

Belongs here: declarations. Does not belong here: anything else.
"""

from assay.metrics import Count, DeclaredMetrics, Entity, Fact, Group, Sum

ENTITIES = (
    Entity("fair", "fair", "All of it", key=None, members=1),
    Entity("street", "a street", "Where", key="street", members=4),
)
SALES = Fact(
    "sales",
    table="marts.sold",
    day="day_sold",
    at="sold_at",
    keys={"street": "street"},
    money={"amount": "EUR"},
    total="amount",
)
TAKINGS = Fact("takings", table="marts.takings", day="day_sold", at="closed_at", keys={"street": "stall"})
SOLD = Group(
    "sold",
    "What is sold",
    fact="sales",
    owner="team:fair",
    metrics=(
        Count("sale_count", "Sales", "All sales"),
        Count("kept_count", "Sales of Ida's", "Sales at stalls that Ida keeps", where="keeper = 'ida'"),
        Count("lonely_count", "Sales of lonely stalls", "Sales at stalls alone in their street", where="in_street = 1"),
        Sum("sold", "Sold", "What was paid", of="amount"),
        Sum(
            "counted",
            "Counted",
            "Sales as the stalls counted them",
            of="sale_count",
            fact="takings",
            unit="sales",
            entities=("fair",),
        ),
    ),
)

METRICS = DeclaredMetrics(__name__)
