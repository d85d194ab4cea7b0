"""The marts of metrics and what customers are worth, made by the platform in one recorded run.

Belongs here: the process that is measured. Does not belong here: the facts (`facts`), the script it is compared with
(`marts_by_hand`). It prints the report of the run as JSON.
"""

from __future__ import annotations

import json
import sys
import time

from assay.contracts import Cadence, Domain
from assay.loading import for_good

LIFETIME = ("marts.customer_spending", "marts.customer_lifetime")


def marts_of(domain: Domain) -> tuple[str, ...]:
    """Full names of the tables that are made."""
    return (*domain.generated, *LIFETIME)


def main() -> None:
    """Make what is dirty."""
    started = time.perf_counter()
    from assay.pipeline.outcome import Report, Unobserved
    from assay.pipeline.session import session
    from assay.settings import read_settings

    settings = read_settings()
    with session(settings) as workspace:
        with for_good():
            from assay.engine.project import load_project
            from assay.orchestration.in_process import run_later

            project = load_project(workspace.domain)
        loaded = time.perf_counter() - started
        wanted = marts_of(workspace.domain)
        nodes = [node for name, node in project.nodes.items() if name in wanted]
        report = run_later(settings, workspace, Unobserved(), Report(), Cadence.DAILY, nodes)
    report.seconds["loading"] = loaded
    report.seconds["total"] = time.perf_counter() - started
    sys.stdout.write(json.dumps(report.to_dict()))
    sys.exit(1 if report.partitions.failed else 0)


if __name__ == "__main__":
    main()
