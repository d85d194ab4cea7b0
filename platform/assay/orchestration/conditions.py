"""Named automation conditions, for deployments that let Dagster decide asset by asset.

Belongs here: every condition in use, each with the reason for its shape. Does not belong here: which asset has which (`assets`).

The landing sensor and its `refresh` job need none of these; they are for deployments that turn the sensor off and the automation
sensor on.
"""

from __future__ import annotations

from functools import cache

import dagster as dg


@cache
def when_inputs_change(may_be_missing: tuple[dg.AssetKey, ...]) -> dg.AutomationCondition[dg.AssetKey | dg.AssetCheckKey]:
    """Compute a table's partition when the content of one of its inputs has changed, however old the period.

    Args:
        may_be_missing: The table's inputs that need not have every partition: a month exists whichever days it lacks.
    """
    missing = dg.AutomationCondition.any_deps_missing()
    if may_be_missing:
        missing = missing.ignore(dg.AssetSelection.assets(*may_be_missing))
    return (
        # An upstream partition whose content did not change was materialized with the same data version and triggers nothing.
        dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed()).since(
            dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated()
        )
        & ~missing
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress()
        # eager() would take only the latest day, and late data is the rule here. A gate on blocking checks would hold up a whole
        # table for one bad partition: that one is not published, so its version stays the same and triggers nothing.
    ).with_label("when_inputs_change")
