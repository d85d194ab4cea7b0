"""Everything Dagster: assets, jobs, sensors, schedules, and what is recorded of a run.

Belongs here: turning a domain into Dagster definitions. Does not belong here: any work on data, which the rooms below do and
which runs without Dagster.
"""
