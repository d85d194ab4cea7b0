"""The code location of the domain in `ASSAY_DOMAIN`.

Belongs here: definitions for a domain that has no `definitions` module of its own. Does not belong here: anything else.
"""

from assay.contracts import load_domain
from assay.orchestration.definitions import build_definitions
from assay.settings import read_settings

defs = build_definitions(load_domain(read_settings().domain))
