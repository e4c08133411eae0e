"""W&B's dashboard of a project and its report on a group, described and saved by code.

They name what `keys` names. wandb-workspaces comes with the extra `dashboard`, and is imported when
it is wanted.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from overpaint.errors import TrackingError, brief
from overpaint.tracking import keys
from overpaint.tracking.wandb.opening import surroundings_for, verify
from overpaint.tracking.wandb.quiet import nothing_said
from overpaint.tracking.wandb.surroundings import environment

if TYPE_CHECKING:
    import wandb
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

INSTALL = "pip install 'overpaint[dashboard]'"
VIEW = "overpaint"
"""The view's name in its address, by which it is found again."""

_SETTINGS = (
    *("style.weight", "content.weight", "loss.tv_weight", "style.statistics", "optimizer.lr"),
    *("schedule.steps", "image.size"),
)
"""Of a run's config, beside its final losses."""
_MAIN = ("total", "content", "style")
_LAYER_LOSSES = f"{keys.loss('style/')}.+"
_WIDE = 24
"""Columns of a report's grid."""


def workspace(entity: str, project: str) -> ws.Workspace:
    """The dashboard of a project, in the order in which one looks at runs."""
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

    sections = {
        "Pictures": [_contact_sheet()],
        "Losses": _loss_curves(),
        "Losses of the layers": [wr.LinePlot(metric_regex=_LAYER_LOSSES, log_y=True)],
        "Steps": _step_curves(),
        "Settings and what came of them": [
            _parallel_coordinates(),
            wr.ParameterImportancePlot(with_respect_to=keys.final("total")),
        ],
        "Runs beside each other": [wr.RunComparer(diff_only="split"), _result_table()],
        "Speed and memory": _speed(),
    }
    return ws.Workspace(
        entity=entity,
        project=project,
        name=VIEW,
        sections=[
            ws.Section(
                name=name,
                panels=panels,
                is_open=True,
                layout_settings=ws.SectionLayoutSettings(columns=min(3, len(panels)), rows=2),
            )
            for name, panels in sections.items()
        ],
        settings=ws.WorkspaceSettings(max_runs=30),
        runset_settings=ws.RunsetSettings(
            pinned_columns=[f"summary:{keys.final(name)}" for name in _MAIN]
        ),
    )


def report(entity: str, project: str, group: str) -> wr.Report:
    """A report on the runs of a group: what differs, pictures side by side, curves."""
    import wandb_workspaces.reports.v2 as wr
    from wandb_workspaces import expr

    # The library writes the filter as Python and reads it again, but does not quote the text.
    quoted = group.replace("\\", r"\\").replace("'", r"\'")

    def grid(panels: Sequence[wr.PanelTypes], *, height: int, beside: int = 1) -> wr.PanelGrid:
        width = _WIDE // beside
        for i, panel in enumerate(panels):
            across, down = i % beside, i // beside
            panel.layout = wr.Layout(x=width * across, y=height * down, w=width, h=height)
        runs = wr.Runset(
            entity=entity,
            project=project,
            name=group,
            filters=expr.And(expr.Metric("Group") == quoted),
        )
        return wr.PanelGrid(runsets=[runs], panels=list(panels))

    return wr.Report(
        entity=entity,
        project=project,
        title=_title(group),
        description="Made by `overpaint dashboard --report`; making it again brings it up to date.",
        width="fluid",
        blocks=[
            wr.H2("Settings that differ"),
            grid([wr.RunComparer(diff_only="split")], height=12),
            wr.H2("Pictures side by side"),
            grid([_result_table(), _contact_sheet()], height=16),
            wr.H2("Curves"),
            grid([*_loss_curves(), *_step_curves()], height=8, beside=3),
        ],
    )


def save_dashboard(
    *, default_project: str, project: str | None, entity: str | None, group: str | None = None
) -> str:
    """Makes the dashboard of a project, or brings it up to date; with a group, its report.

    Args:
        default_project: where neither `project` nor the environment says.
        project: at W&B.
        entity: user or team; by default what the environment says, or the account's own.
        group: of runs.

    Returns:
        The address.

    Raises:
        TrackingError: if wandb-workspaces is not installed, W&B cannot be had, or there is no such
            project.
    """
    if importlib.util.find_spec("wandb_workspaces") is None:
        raise TrackingError(f"the dashboard needs wandb-workspaces: {INSTALL}")
    with _wandb_itself() as (settings, api):
        project = project or settings.project or default_project
        entity = entity or settings.entity or api.default_entity
        if entity is None:
            raise TrackingError("W&B names no user or team for this key: give --entity.")
        return (
            _saved_workspace(workspace(entity, project))
            if group is None
            else _saved_report(report(entity, project, group), api)
        )


def _saved_workspace(made: ws.Workspace) -> str:
    from wandb_workspaces.workspaces import internal

    made._internal_name = f"nw-{VIEW}-v"  # as the service builds it of an address's `?nw=`
    try:
        made._internal_id = internal.get_view_dict(made.entity, made.project, VIEW)["id"]
    except ValueError as error:
        if not str(error).startswith("Workspace "):
            raise
    return str(made.save().url)


def _saved_report(made: wr.Report, api: wandb.Api) -> str:
    """One of that title is replaced, so that its address stays."""
    found = api.reports(f"{made.entity}/{made.project}")
    made.id = next((one.id for one in found if one.display_name == made.title), "")
    return str(made.save().url)


@contextmanager
def _wandb_itself() -> Iterator[tuple[wandb.Settings, wandb.Api]]:
    """Wandb's own settings and its API, once W&B has answered and knows the key.

    Raises:
        TrackingError: also in the place of what is raised inside.
    """
    with tempfile.TemporaryDirectory() as folder:
        around = surroundings_for(Path(folder), "online")
        with environment(around.changes), nothing_said():
            import wandb

            try:
                verify(str(around.settings.base_url))
                yield around.settings, wandb.Api()
            except TrackingError:
                raise
            except Exception as error:
                raise TrackingError(f"W&B: {brief(error)}") from error


def _title(group: str) -> str:
    return f"overpaint: {group}"[:128]


def _contact_sheet() -> wr.MediaBrowser:
    import wandb_workspaces.reports.v2 as wr

    return wr.MediaBrowser(
        title="Snapshots: a row is a run, a column a step",
        media_keys=[keys.SNAPSHOTS],
        mode="grid",
        grid_x_axis="step",
        grid_y_axis="run",
    )


def _result_table() -> wr.WeavePanelSummaryTable:
    import wandb_workspaces.reports.v2 as wr

    return wr.WeavePanelSummaryTable(table_name=keys.RESULT)


def _loss_curves() -> list[wr.PanelTypes]:
    import wandb_workspaces.reports.v2 as wr

    names = (*_MAIN, "tv")
    return [wr.LinePlot(title=name, y=[keys.loss(name)], log_y=True) for name in names]


def _step_curves() -> list[wr.PanelTypes]:
    import wandb_workspaces.reports.v2 as wr

    return [
        wr.LinePlot(title="Learning rate", y=[keys.RATE]),
        wr.LinePlot(title="Mean change of a step, in grey levels", y=[keys.MOVED], log_y=True),
    ]


def _speed() -> list[wr.PanelTypes]:
    import wandb_workspaces.reports.v2 as wr

    return [
        wr.LinePlot(title="Steps per second", y=[keys.SPEED]),
        wr.LinePlot(title="Peak memory, MiB", y=[keys.PEAK_MEMORY]),
        wr.BarPlot(title="Seconds", metrics=[keys.TIME]),
    ]


def _parallel_coordinates() -> wr.ParallelCoordinatesPlot:
    import wandb_workspaces.reports.v2 as wr

    settings = [
        wr.ParallelCoordinatesPlotColumn(
            metric=wr.Config(name), log=True if name == "optimizer.lr" else None
        )
        for name in _SETTINGS
    ]
    losses = [
        wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(keys.final(name)))
        for name in reversed(_MAIN)
    ]
    return wr.ParallelCoordinatesPlot(title="Settings and losses", columns=[*settings, *losses])
