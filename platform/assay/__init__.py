"""Assay: change files in, proven tables out.

Belongs here: the machinery, which knows nothing of any business. Does not belong here: a domain.
"""
