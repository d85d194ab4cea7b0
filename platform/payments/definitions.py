"""The code location that Dagster loads: the payments domain as assets, jobs, sensors and schedules.

Belongs here: the one call. Does not belong here: anything about the domain.
"""

from assay.loading import for_good

with for_good():
    from assay.orchestration.definitions import build_definitions
    from payments import DOMAIN

    defs = build_definitions(DOMAIN)
