"""Runs the SQL: DuckDB over the lake's Parquet.

Belongs here: the connection, parsing a domain's SQL (dependencies, lineage, code version), binding its names to files, the
folds, and computing partitions into a staged table. Does not belong here: judging staged rows (`quality`), deciding what to
compute and publishing it (`pipeline`).
"""
