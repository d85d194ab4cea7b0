"""The command line.

Belongs here: commands as thin as they can be: settings in, a room below does the work, the result is printed. Does not belong
here: the work.
"""

from assay.cli.app import main

__all__ = ["main"]
