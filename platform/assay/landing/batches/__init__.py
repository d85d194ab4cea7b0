"""Batches: landing objects that are read together, and what they become in the raw zone.

Belongs here: choosing the objects of a batch, staging and typing their records, writing the events, recording the batch. Does not
belong here: reading a format (`readers`), records that become no events (`quarantine`), what concerns all batches of a source
(`placement`, `snapshots`).
"""
