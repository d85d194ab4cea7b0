"""A simulated payments company: it writes the files that the systems of a real one would land.

Belongs here: the model of the company (customers, merchants, payments and their lifecycle), the formats in which its systems
write, the errors in its files, and the truth about them. Does not belong here: landing the files, reading them, anything of the
platform that is tested with them; nothing is imported except the standard library, DuckDB (with Arrow, in which it returns
lines) and isal (and psycopg in `workload`).

Except `workload`, which is the company's database while business goes on, everything is a pure function of a `Company`: each
value is drawn from a hash of the seed, an id and a purpose, never from the state of a generator, so that any day can be generated
alone, in any order, on any number of threads.
"""

from simulator.closing import ClosingFile, closings
from simulator.company import Company
from simulator.files import LandingFile
from simulator.produce import produce
from simulator.truth import Total, Truth, truth

__all__ = ["ClosingFile", "Company", "LandingFile", "Total", "Truth", "closings", "produce", "truth"]
