"""Delimited text (`Csv`): archives over the years, in many encodings and layouts, and workbooks.

Belongs here: headers, layouts, written numbers and dates, the repair of records, sheets. Does not belong here: splitting text
into records (`files.delimited_text`), files of AWS DMS, which have layouts of their own (`readers.dms`).
"""
