"""Proves staged partitions: fused rules, quarantine, books, score.

Belongs here: judging rows that `engine.staging` has computed, and recording which were refused and why. Does not belong here:
computing rows (`engine`), publishing them (`pipeline`).
"""
