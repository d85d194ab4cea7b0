"""Emptying a quarantine of very many records: read again after the source was corrected, rebuilt after the contract was."""

from __future__ import annotations

import json
import os
from pathlib import Path

import lakes
import measure
import pytest
from tills import SOURCE, TABLE, sale

pytestmark = pytest.mark.bench

ROWS = lakes.scaled(100_000, 2_000)
FILES = 12
DAYS = ("2025-01-03", "2025-01-04", "2025-01-05")
MOST_SECONDS = 20.0
_TESTS = lakes.REPOSITORY / "platform_tests"
CODE = [lakes.REPOSITORY / "platform", _TESTS / "support", _TESTS / "domains"]


def test_replay(board: measure.Board, folder: Path) -> None:
    """A third of the sales are good, of a third the amount cannot be read, a third is below zero."""
    lake = lakes.folder_lake(folder, _sales(folder / "files"))
    contracts = folder / "contracts"
    contracts.mkdir()
    for name, options in (("strict", ""), ("reads", "reads_commas=True"), ("takes", "reads_commas=True, takes_negative=True")):
        tills = f"till_lake(Path({str(contracts / name)!r}), {options})"
        (contracts / f"tills_{name}.py").write_text(
            f"from pathlib import Path\nfrom tills import till_lake\nDOMAIN = {tills}.workspace.domain\n"
        )
    path = os.pathsep.join(map(str, [contracts, *CODE]))

    def assay(domain: str, *arguments: str) -> measure.Cost:
        own = {"ASSAY_DOMAIN": f"tills_{domain}", "PYTHONPATH": path}
        return lakes.Lake(lake.home, lake.store, {**lake.settings, **own}).assay(*arguments)

    assay("strict", "run")
    for domain, name, what in (
        ("reads", f"raw.{SOURCE}", f"{ROWS:,} records that could not be read"),
        ("takes", TABLE, f"{ROWS:,} rows that a contract refused"),
    ):
        cost = assay(domain, "quarantine", "replay", name, "--json")
        (result,) = json.loads(cost.out)["replayed"]
        assert (result["before"], result["left"], result["published"], result["still"]) == (ROWS, ROWS, ROWS, 0)
        board.bar("replay", what, measure.seconds(cost.wall), f"≤ {MOST_SECONDS:g} s", cost.wall <= MOST_SECONDS)
        board.note("replay", "of this, in processor time; peak memory", f"{cost.cpu:,.2f} s; {measure.size(cost.peak)}")
    idle = assay("takes", "run")
    board.note("replay", "a run with nothing to do", measure.seconds(idle.wall))


def _sales(to: Path) -> Path:
    """Write the sales."""
    (to / SOURCE).mkdir(parents=True)
    amounts = ("1.00", "7,50", "-5.00")
    for number in range(FILES):
        numbers = range(number, 3 * ROWS, FILES)
        lines = (sale(n + 1, day=DAYS[n // 3 % len(DAYS)], amount=amounts[(n + n // FILES) % 3]) for n in numbers)
        file = to / SOURCE / f"{number}.json"
        file.write_text("\n".join(lines))
        os.utime(file, (1_735_700_000, 1_735_700_000))
    return to
