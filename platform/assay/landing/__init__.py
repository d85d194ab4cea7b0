"""Reads what producers write into change events.

Belongs here: one reader per format, salvaging damaged files, finding landed objects that were not ingested, and writing
raw batches. Does not belong here: folding events into tables (`engine`), judging values by business rules (`quality`).
"""
