"""Assay: change files in, proven tables out.

Belongs here: the platform, which knows nothing of any business. Does not belong here: a domain.
"""
