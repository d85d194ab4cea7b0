"""Everything Dagster: assets, jobs, sensors, schedules, and the records of runs.

Belongs here: turning a domain into Dagster definitions. Does not belong here: any work on data, which the rooms below do and
which runs without Dagster.
"""
