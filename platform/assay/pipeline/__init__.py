"""Running everything without Dagster: ingest, plan, build, publish, verify.

Belongs here: deciding which partitions are dirty, computing, proving and publishing them, in terms of the rooms below. Does not
belong here: recording runs (`orchestration`), printing (`cli`).
"""
