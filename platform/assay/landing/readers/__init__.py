"""One reader per format: from files to parsed records.

Belongs here: the shape of a parsed record, the table of readers, a package for each format, and what several readers need. Does
not belong here: what authors declare about a format (`formats`), typing of values and writing events (`batches`).
"""
