"""The dashboard and the report as W&B would get them, without W&B."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from overpaint.errors import TrackingError
from overpaint.settings.schema import Config
from overpaint.settings.writing import to_dict
from overpaint.tracking import keys
from overpaint.tracking.wandb import dashboard

# wandb-workspaces is written for pydantic 1 in places.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic V1 style")

LOGGED = {
    *(keys.loss(name) for name in ("total", "content", "style", "tv")),
    *(keys.RATE, keys.MOVED, keys.SPEED, keys.PEAK_MEMORY),
}
SUMMARY = {keys.TIME, *(keys.final(name) for name in ("total", "content", "style"))}


def spec_of(made: Any) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(
        made._to_model().spec.model_dump_json(by_alias=True, exclude_none=True)
    )
    return spec


def panels_of(spec: Any) -> Iterator[dict[str, Any]]:
    """All panels, in their order."""
    if isinstance(spec, dict):
        if "viewType" in spec and "config" in spec:
            yield spec
        else:
            for one in spec.values():
                yield from panels_of(one)
    elif isinstance(spec, list):
        for one in spec:
            yield from panels_of(one)


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a report be described without asking W&B for its project."""
    from wandb_workspaces.reports.v2 import interface

    monkeypatch.setattr(interface, "_get_api", lambda: None)
    monkeypatch.setattr(
        interface, "execute_graphql", lambda *given: {"project": {"internalId": "1"}}
    )


def test_the_panels_stand_in_the_order_in_which_one_looks() -> None:
    panels = list(panels_of(spec_of(dashboard.workspace("me", "paint"))))
    curves = ["Run History Line Plot"]
    assert [panel["viewType"] for panel in panels] == [
        *("Media Browser", *(curves * 4), *curves, *(curves * 2)),
        *("Parallel Coordinates Plot", "Parameter Importance", "Run Comparer", "Weave"),
        *(*(curves * 2), "Bar Chart"),
    ]
    sheet = panels[0]["config"]
    assert (sheet["mediaKeys"], sheet["mode"]) == (["snapshots"], "grid")
    assert sheet["gridSettings"] == {"xAxis": "step", "yAxis": "run"}
    assert all(panel["config"]["yLogScale"] for panel in panels[1:6])


def named_by(panel: dict[str, Any]) -> set[str]:
    """The metrics that a panel draws."""
    config = panel["config"]
    columns = [column["accessor"] for column in config.get("columns", [])]
    summary = [name.removeprefix("summary:") for name in columns if name.startswith("summary:")]
    target = [config["targetKey"]] if "targetKey" in config else []
    return {*config.get("metrics", []), *summary, *target}


@pytest.mark.usefixtures("reports")
@pytest.mark.parametrize("kind", ["workspace", "report"])
def test_no_panel_names_what_is_not_logged(kind: str) -> None:
    made = {
        "workspace": lambda: dashboard.workspace("me", "paint"),
        "report": lambda: dashboard.report("me", "paint", "some"),
    }[kind]()
    spec = spec_of(made)
    panels = list(panels_of(spec))
    named = {name for panel in panels for name in named_by(panel)}
    assert named >= LOGGED - {keys.SPEED, keys.PEAK_MEMORY}
    assert named <= LOGGED | SUMMARY
    (table,) = (panel for panel in panels if panel["viewType"] == "Weave")
    assert f'"{keys.RESULT}"' in json.dumps(table)


def test_the_losses_of_all_layers_are_drawn_and_no_others() -> None:
    panels = panels_of(spec_of(dashboard.workspace("me", "paint")))
    (wanted,) = (one["config"]["metricRegex"] for one in panels if "metricRegex" in one["config"])
    for name in ("style/relu1_1", "style/conv5_4"):
        assert re.fullmatch(wanted, keys.loss(name))
    for name in ("style", "total"):
        assert not re.search(wanted, keys.loss(name))


def test_the_settings_that_are_drawn_are_those_of_a_run_s_config() -> None:
    panels = panels_of(spec_of(dashboard.workspace("me", "paint")))
    (columns,) = (one["config"]["columns"] for one in panels if "columns" in one["config"])
    accessors = [column["accessor"] for column in columns]
    settings = [name for name in accessors if name.startswith("config:")]
    assert len(settings) >= 5
    for accessor in settings:
        section, _, name = accessor.removeprefix("config:").partition(".value.")
        assert name in to_dict(Config())[section]
    assert accessors[-1] == "summary:final/total"


@pytest.mark.usefixtures("reports")
@pytest.mark.parametrize("group", ["some", "it's", "C:\\new", "картины (1) == 2 and x"])
def test_a_report_is_of_the_runs_of_its_group(group: str) -> None:
    text = json.dumps(spec_of(dashboard.report("me", "paint", group)), ensure_ascii=False)
    values = re.findall(r'"value": ("[^"]*")', text)
    assert values
    assert {json.loads(value) for value in values} == {group}
    assert dashboard.report("me", "paint", group).title == f"overpaint: {group}"


class Service:
    """Stands in for W&B: keeps views, and answers what wandb-workspaces asks."""

    default_entity = "me"

    def __init__(self) -> None:
        self.views: dict[str, dict[str, Any]] = {}

    def execute(self, api: Any, query: str, variables: Any = None) -> dict[str, Any]:
        if "ProjectInternalId" in query:
            return {"project": {"internalId": "1"}}
        if "query View" in query:
            if variables["projectName"] == "none":
                return {"project": None}
            found = [
                {"node": view}
                for view in self.views.values()
                if view["name"] == variables["viewName"]
            ]
            return {"project": {"allViews": {"edges": found}}}
        view_id = variables.get("id") or f"id{len(self.views)}"
        self.views[view_id] = {
            **{"id": view_id, "name": variables["name"], "spec": variables["spec"]},
            **{"displayName": variables["displayName"], "description": "", "type": "runs"},
            "project": {"name": variables["projectName"], "entityName": variables["entityName"]},
        }
        return {"upsertView": {"view": self.views[view_id], "inserted": True}}

    def projects(self, entity: str) -> list[Any]:
        return [SimpleNamespace(name="paint")]

    def reports(self, path: str) -> list[Any]:
        return [
            SimpleNamespace(id=view["id"], display_name=view["displayName"])
            for view in self.views.values()
        ]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    import wandb
    from wandb_workspaces.reports.v2 import interface as reports
    from wandb_workspaces.workspaces import interface, internal

    service = Service()
    monkeypatch.setattr(wandb, "Api", lambda: service)
    for module in (reports, internal):
        monkeypatch.setattr(module, "execute_graphql", service.execute)
    for module in (reports, interface):
        monkeypatch.setattr(module, "get_app_url", lambda api: "https://wandb.test/")

    @contextmanager
    def reached() -> Iterator[Any]:
        yield SimpleNamespace(project=None, entity=None), service

    monkeypatch.setattr(dashboard, "_wandb_itself", reached)
    return service


def test_a_second_time_the_same_view_is_updated(service: Service) -> None:
    said = {
        dashboard.save_dashboard(default_project="paint", project=None, entity=None)
        for _ in range(2)
    }
    assert said == {"https://wandb.test/me/paint?nw=overpaint"}
    assert len(service.views) == 1


def test_a_second_time_the_same_report_is_updated(service: Service) -> None:
    def save(group: str) -> str:
        return dashboard.save_dashboard(
            default_project="paint", project=None, entity="team", group=group
        )

    assert save("some") == save("some") != save("other")
    assert [view["displayName"] for view in service.views.values()] == [
        "overpaint: some",
        "overpaint: other",
    ]
    assert save("some").startswith("https://wandb.test/team/paint/reports/")


@pytest.mark.usefixtures("service")
def test_a_project_that_is_not_there_is_not_made_up() -> None:
    with pytest.raises(ValueError, match="Project `me/none` not found"):
        dashboard.save_dashboard(default_project="paint", project="none", entity=None)


def test_without_the_extra_the_command_to_install_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TrackingError, match=r"pip install 'overpaint\[dashboard\]'"):
        dashboard.save_dashboard(default_project="paint", project=None, entity=None)
