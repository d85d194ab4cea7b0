"""The contracts of the retail domain, one module a table.

Belongs here: declarations. Does not belong here: SQL.
"""
