"""The command line.

Belongs here: commands that are as thin as possible: they read settings, let a room below do the work, and print the result. Does
not belong here: the work.
"""

from assay.cli.app import main

__all__ = ["main"]
