"""Proves staged partitions: fused rules, quarantine, books, score.

Belongs here: judging rows that `engine.staging` has computed, and writing down what was refused and why. Does not belong here:
computing rows (`engine`), publishing them (`pipeline`).
"""
