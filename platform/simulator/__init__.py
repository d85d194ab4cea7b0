"""A simulated payments company: it writes the files that the systems of a real one would land.

Belongs here: the model of the company (customers, merchants, payments and how they come about), the forms in which its
systems write, the mess that such files hold, and what is true about them. Does not belong here: landing the files, reading
them, anything of the platform that is tried with them; nothing is imported but the standard library, DuckDB (with Arrow, as which
it hands lines over) and isal (and psycopg by `workload`).

`workload` apart, which is the company's database while business goes on, everything is a pure function of a `Company`: each
value is drawn from a hash of the seed, an id and a purpose, never from the state of a generator, so that any day can be made
alone, in any order, on any number of threads.
"""

from simulator.closing import ClosingFile, closings
from simulator.company import Company
from simulator.files import LandingFile
from simulator.produce import produce
from simulator.truth import Total, Truth, truth

__all__ = ["ClosingFile", "Company", "LandingFile", "Total", "Truth", "closings", "produce", "truth"]
