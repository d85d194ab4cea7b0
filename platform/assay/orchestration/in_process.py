"""Running jobs in this process, recorded in the same Dagster instance that the UI shows.

Belongs here: what `assay run`, `assay demo` and `assay reconcile` need from Dagster. Does not belong here: printing.
"""

import os
from collections.abc import Mapping, Sequence
from typing import NoReturn

import dagster as dg

from assay.contracts import Cadence
from assay.engine.project import Node
from assay.errors import AssayError
from assay.landing.quarantine.replay import Replay
from assay.orchestration.definitions import quiet_beta
from assay.orchestration.event_log import kept_open
from assay.orchestration.instance import open_instance
from assay.orchestration.reconciling import build_reconciliations
from assay.orchestration.refresh import build_later_job, build_refresh_job
from assay.orchestration.resources import Lake, Opened
from assay.pipeline.outcome import Observer, Report
from assay.pipeline.reconciling import Reconciling
from assay.pipeline.runs import fill_report
from assay.pipeline.state import State
from assay.pipeline.workspace import Workspace
from assay.settings import Settings

_INTERRUPTED = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def run_refresh(
    settings: Settings, workspace: Workspace, observer: Observer, replaying: Mapping[str, Replay] | None = None
) -> Report:
    """Ingest what has landed and rebuild what is dirty, as one recorded run.

    Args:
        settings: The settings.
        workspace: The domain and the lake.
        observer: Observes the run's progress.
        replaying: By source, what a replay of its quarantine leaves alone; the quarantine of other sources is not read again.

    Returns:
        The report; partitions that failed their proof are part of it, and raise no exception.

    Raises:
        AssayError: Something other than data stopped the run.
    """
    with quiet_beta():
        job = build_refresh_job(workspace.project, retries=None)
    return _run(job, settings, workspace, observer, replaying or {}, Report())


def run_later(
    settings: Settings, workspace: Workspace, observer: Observer, report: Report, cadence: Cadence, nodes: Sequence[Node]
) -> Report:
    """Rebuild what is dirty of tables of a later cadence, as one recorded run.

    Args:
        settings: The settings.
        workspace: The domain and the lake.
        observer: Observes the run's progress.
        report: The report so far; this run adds to it.
        cadence: The cadence.
        nodes: The tables, each after its inputs.

    Raises:
        AssayError: Something other than data stopped the run.
    """
    with quiet_beta():
        job = build_later_job(cadence, nodes, retries=None)
    return _run(job, settings, workspace, observer, {}, report)


def _run(
    job: dg.JobDefinition,
    settings: Settings,
    workspace: Workspace,
    observer: Observer,
    replaying: Mapping[str, Replay],
    report: Report,
) -> Report:
    # Write the events of one run to the instance in batches.
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "100")
    with workspace.connection() as connection, open_instance(settings) as instance, kept_open(instance):
        opened = Opened(workspace, connection, State(workspace), observer=observer, replaying=replaying, report=report)
        result = job.execute_in_process(
            run_config=_QUIET, instance=instance, resources={"lake": Lake(opened)}, raise_on_error=False
        )
    if opened.error is not None:
        raise opened.error
    fill_report(opened.state, opened.report)
    if not result.success and not opened.report.failures:
        _raise_unexpected(result)
    return opened.report


def run_reconcile(settings: Settings, workspace: Workspace, reconciling: Reconciling) -> None:
    """Reconcile controls, as one recorded run; the results are in `reconciling`.

    Raises:
        AssayError: Something other than a control or a difference stopped the run.
    """
    with quiet_beta():
        asset = build_reconciliations(workspace.project, None, {control.name for control in reconciling.controls})
    assert asset is not None, "there are controls"
    with workspace.connection() as connection, open_instance(settings) as instance:
        opened = Opened(workspace, connection, State(workspace), reconciling=reconciling)
        result = dg.materialize(
            [asset], instance=instance, resources={"lake": Lake(opened)}, run_config=_QUIET, raise_on_error=False
        )
    if opened.error is not None:
        raise opened.error
    if not result.success and not reconciling.failed:
        _raise_unexpected(result)


def _raise_unexpected(result: dg.ExecuteInProcessResult) -> NoReturn:
    """Report where and why a run failed for a reason that is neither the data nor an error known to Assay.

    Raises:
        KeyboardInterrupt: The user stopped it; Dagster records that as a failure of the step.
        AssayError: Anything else.
    """
    place, said = "", ""
    for event in result.filter_events(lambda event: event.is_step_failure):
        error = event.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        if error is None:
            continue
        if error.cls_name in _INTERRUPTED:
            raise KeyboardInterrupt
        place, said = f" in {event.step_key}", f": {error.message.strip().splitlines()[0]}"
        break
    raise AssayError(
        f"Run {result.run_id} failed{place}{said}",
        hint="The data published before stay in place. `assay up` shows the run, with the stack, in the Dagster UI.",
    )
