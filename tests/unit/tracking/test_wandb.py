from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import wandb_history, wandb_runs, wandb_summary
from PIL import Image

from overpaint.errors import TrackingError
from overpaint.tracking import keys
from overpaint.tracking.patience import Patience
from overpaint.tracking.port import Tracker
from overpaint.tracking.wandb import opening as tracking
from overpaint.tracking.wandb import surroundings
from overpaint.tracking.wandb.naming import RunNames
from overpaint.tracking.wandb.opening import open_wandb
from overpaint.tracking.wandb.quiet import nothing_said
from overpaint.tracking.wandb.run import WandbTracker
from overpaint.tracking.wandb.surroundings import environment, look_around

KEY = "0" * 40
WANDB_HOST = "https://api.wandb.ai"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No account, no proxy, no server but those that a test makes."""
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        if name != "WANDB_SERVICE":  # of the service that tests share
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "USERPROFILE", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(home))
    for name in ("CACHE_DIR", "CONFIG_DIR", "DATA_DIR", "ARTIFACT_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(home))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("NETRC", str(home / "no netrc"))


@pytest.fixture
def has_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], bool]:
    """Whether there is a key for a host."""

    def ask(url: str) -> bool:
        monkeypatch.setenv("WANDB_BASE_URL", url)
        return surroundings.has_key(look_around(tmp_path).settings)

    return ask


@pytest.mark.parametrize("name", ["WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"])
def test_a_key_in_the_environment_is_found(
    monkeypatch: pytest.MonkeyPatch, has_key: Callable[[str], bool], name: str
) -> None:
    assert not has_key(WANDB_HOST)
    monkeypatch.setenv(name, KEY)
    assert has_key(WANDB_HOST)
    monkeypatch.setenv(name, "")
    assert not has_key(WANDB_HOST)


def test_a_key_in_a_settings_file_of_wandb_is_found(
    tmp_path: Path, has_key: Callable[[str], bool]
) -> None:
    (tmp_path / "home" / "settings").write_text(f"[default]\napi_key = {KEY}\n")
    assert has_key(WANDB_HOST)


@pytest.mark.parametrize("place", ["NETRC", ".netrc", "_netrc"])
@pytest.mark.parametrize(
    ("machine", "url", "known"),
    [
        ("api.wandb.ai", WANDB_HOST, True),
        ("api.wandb.ai", "https://wandb.example.org/", False),
        ("wandb.example.org", "https://wandb.example.org/", True),
        ("localhost:8080", "http://localhost:8080", True),  # `wandb login` writes the port
        ("github.com", WANDB_HOST, False),
    ],
)
def test_a_key_in_a_netrc_file_counts_for_its_host(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    machine: str,
    url: str,
    known: bool,
    has_key: Callable[[str], bool],
) -> None:
    file = tmp_path / "home" / place
    file.write_text(f"machine {machine}\n  login user\n  password {KEY}\n")
    file.chmod(0o600)
    if place == "NETRC":
        monkeypatch.setenv("NETRC", str(file))
    else:
        monkeypatch.delenv("NETRC")
    assert has_key(url) is known


def test_a_netrc_file_named_by_the_environment_is_the_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_key: Callable[[str], bool]
) -> None:
    # So it is for wandb, which asks on a terminal where it finds no key.
    (tmp_path / "home" / ".netrc").write_text(f"machine api.wandb.ai login user password {KEY}\n")
    named = tmp_path / "netrc"
    named.write_text("machine github.com login user password word\n")
    monkeypatch.setenv("NETRC", str(named))
    assert not has_key(WANDB_HOST)


@pytest.mark.parametrize(
    "content",
    ["machine", "gibberish here", "machine api.wandb.ai\n", "machine api.wandb.ai login user\n"],
)
def test_a_netrc_file_without_a_password_holds_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_key: Callable[[str], bool], content: str
) -> None:
    file = tmp_path / "netrc"
    file.write_text(content)
    monkeypatch.setenv("NETRC", str(file))
    assert not has_key(WANDB_HOST)


@pytest.mark.parametrize(
    ("value", "mode"),
    [
        ("offline", "offline"),
        ("OFFLINE", "offline"),
        ("dryrun", "offline"),
        ("disabled", "disabled"),
        ("Disabled", "disabled"),
        ("online", "online"),
        ("", "online"),
        (None, "online"),
    ],
)
def test_wandb_mode_decides_for_auto(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    open_port: int,
    value: str | None,
    mode: str,
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{open_port}")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    if value is not None:
        monkeypatch.setenv("WANDB_MODE", value)
    chosen, reason = tracking._choose_mode(look_around(tmp_path), Patience(9))
    assert chosen == mode
    assert ("WANDB_MODE" in reason) == (mode != "online")


@pytest.mark.parametrize("value", [None, "online"])
def test_auto_without_a_key_is_offline_without_asking_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value:
        monkeypatch.setenv("WANDB_MODE", value)
    monkeypatch.setattr(tracking, "answers", lambda url: pytest.fail(f"asked {url}"))
    assert tracking._choose_mode(look_around(tmp_path), Patience(9)) == (
        "offline",
        "no API key; `wandb login` sets one",
    )


def test_auto_with_a_key_but_no_answer_is_offline_and_names_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    monkeypatch.setenv("WANDB_BASE_URL", url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    found = tracking._choose_mode(look_around(tmp_path), Patience(9))
    assert found == ("offline", f"{url} does not answer")


NAMES = RunNames(
    project="some-project",
    name="some-name",
    entity="some-team",
    group="some-group",
    tags=("one", "two"),
    notes="some notes",
    job_type="lr-trial",
)


def open_in(
    directory: Path, mode: str, names: RunNames = NAMES, *, run_id: str | None = None
) -> Tracker:
    return open_wandb(
        mode,
        directory=directory,
        names=names,
        defaults=RunNames(project="usual-project", name="usual-name", job_type="usual-type"),
        run_id=run_id,
        config={"seed": 3},
    )


class FakeRun:
    """Stands in for a wandb.Run."""

    def __init__(self, directory: Path, mode: str, known: int = 0) -> None:
        self.dir = str(directory / "wandb" / f"{mode}-run-x" / "files")
        self.url = "http://127.0.0.1/some-team/some-project/runs/x"
        self.metrics: list[tuple[str, dict[str, Any]]] = []
        self.alerts: list[dict[str, str]] = []
        self.id = "x"
        self.step = known
        self.rows: list[tuple[int, dict[str, Any]]] = []
        self.summary: dict[str, Any] = {}

    def define_metric(self, name: str, **options: Any) -> None:
        self.metrics.append((name, options))

    def alert(self, **words: str) -> None:
        self.alerts.append(words)

    def log(self, values: dict[str, Any], *, step: int) -> None:
        self.rows.append((step, values))


class FakeInit:
    """Stands in for wandb.init; refuses online runs if it has a reason to."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.refusal = refusal
        self.calls: list[dict[str, Any]] = []

    def __call__(self, **options: Any) -> Any:
        self.calls.append(options)
        if self.refusal and options["mode"] == "online":
            raise self.refusal
        return FakeRun(Path(options["dir"]), options["mode"])


def patched_init(monkeypatch: pytest.MonkeyPatch, refusal: Exception | None = None) -> FakeInit:
    import wandb

    init = FakeInit(refusal)
    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(wandb, "setup", lambda: None)
    monkeypatch.setattr(wandb, "login", lambda **options: True)
    return init


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch, open_port: int) -> None:
    """A key and a host that answers."""
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{open_port}")
    monkeypatch.setenv("WANDB_API_KEY", KEY)


def test_disabled_tracking_tells_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    init = patched_init(monkeypatch)
    with caplog.at_level(logging.INFO, logger="overpaint"):
        trackers = [open_in(tmp_path, "disabled")]
        monkeypatch.setenv("WANDB_MODE", "disabled")
        trackers.append(open_in(tmp_path, "auto"))
    assert [tracker.mode for tracker in trackers] == ["disabled", "disabled"]
    assert [[*tracker.loggers] for tracker in trackers] == [[], []]
    assert init.calls == []
    assert [record.getMessage() for record in caplog.records] == [
        "W&B: disabled (as asked).",
        "W&B: disabled (WANDB_MODE=disabled).",
    ]


def test_online_without_a_key_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    init = patched_init(monkeypatch)
    with pytest.raises(TrackingError, match=r"tracking\.mode=online: .* `wandb login`"):
        open_in(tmp_path, "online")
    assert init.calls == []


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize(
    ("asked", "opened"), [("auto", "online"), ("online", "online"), ("offline", "offline")]
)
def test_the_names_of_a_run_reach_wandb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, opened: str
) -> None:
    init = patched_init(monkeypatch)
    run = open_in(tmp_path, asked)
    assert run.mode == opened
    (options,) = init.calls
    settings = options.pop("settings")
    assert settings.silent
    assert settings.init_timeout == tracking.INIT_TIMEOUT_S
    assert options == {
        "mode": opened,
        "dir": str(tmp_path),
        "project": "some-project",
        "name": "some-name",
        "entity": "some-team",
        "group": "some-group",
        "tags": ("one", "two"),
        "notes": "some notes",
        "job_type": "lr-trial",
        "reinit": "create_new",
        "config": {"seed": 3},
    }


@pytest.mark.usefixtures("online")
def test_an_online_run_says_where_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patched_init(monkeypatch)
    run = open_in(tmp_path, "online")
    assert run.message == "W&B: online, http://127.0.0.1/some-team/some-project/runs/x"


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("CommError", "cannot reach the host\nTraceback ..."),
        ("UsageError", "no such entity: some-team"),
        ("AuthenticationError", "the key is too short"),
        ("CommError", ""),
    ],
)
def test_auto_goes_offline_if_wandb_refuses_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, text: str
) -> None:
    import wandb

    init = patched_init(monkeypatch, refusal=getattr(wandb.errors, kind)(text))
    run = open_in(tmp_path, "auto")
    assert run.mode == "offline"
    assert [call["mode"] for call in init.calls] == ["online", "offline"]
    assert run.message is not None
    assert "\n" not in run.message
    assert text.split("\n")[0] in run.message
    assert f"wandb sync {tmp_path / 'wandb' / 'offline-run-x'} " in run.message


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize("kind", ["CommError", "UsageError", "AuthenticationError"])
def test_online_is_an_error_if_wandb_refuses_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    import wandb

    init = patched_init(monkeypatch, refusal=getattr(wandb.errors, kind)("no such entity: x"))
    with pytest.raises(TrackingError, match=r"tracking\.mode=online: no such entity: x"):
        open_in(tmp_path, "online")
    assert len(init.calls) == 1


def test_all_numbers_are_drawn_over_the_step_and_none_is_nested_in_the_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patched_init(monkeypatch)
    run = open_in(tmp_path, "offline")
    fake = run.loggers[0].experiment
    assert isinstance(fake, FakeRun)
    defined = dict(fake.metrics)
    assert defined["*"] == {"step_metric": "trainer/global_step"}
    assert not any("summary" in options for options in defined.values())


def test_a_whole_run_without_a_key_is_kept_for_a_later_sync(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    pictures = [Image.new("RGB", (5, 4), colour) for colour in ("red", "green", "blue", "white")]
    result = folder / "result.png"
    pictures[3].save(result)
    run = open_in(folder, "auto")
    try:
        run.log_inputs(pictures[0], pictures[1:3])
        run.loggers[0].log_metrics({"loss/total": 2.0}, step=1)
        run.log_snapshot(1, pictures[3])
        run.log_result({"final/total": 1.5}, [result])
    finally:
        run.finish(0)
    assert run.mode == "offline"
    assert "no API key" in run.message
    (kept,) = (folder / "wandb").glob("offline-run-*")
    assert f"wandb sync {kept} " in run.message
    assert list(kept.glob("run-*.wandb"))
    assert len(list((kept / "files" / "media").rglob("*.png"))) == 4

    import wandb

    assert wandb.run is None, "or the next run would inherit this one"


@pytest.mark.parametrize(
    ("key", "title"),
    [
        ("rate/too_low", "Learning rate too low"),
        ("rate/too_high", "Learning rate too high"),
        ("diverged", "Run diverged"),
    ],
)
def test_a_warning_is_an_alert_and_stays_in_the_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, title: str
) -> None:
    patched_init(monkeypatch)
    run = open_in(tmp_path, "offline")
    run.log_warning(key, "some sentence")
    fake = run.loggers[0].experiment
    assert isinstance(fake, FakeRun)
    assert fake.alerts == [{"title": title, "text": "some sentence", "level": "WARN"}]
    assert fake.summary == {key: "some sentence"}


def test_a_study_and_its_trials_are_runs_side_by_side(tmp_path: Path) -> None:
    chart = tmp_path / "chart.png"
    Image.new("RGB", (5, 4), "red").save(chart)
    study = open_in(tmp_path, "offline")
    try:
        for rate, losses in ((0.25, (3.0, 2.0, 1.0)), (4.0, (3.0, math.inf, math.nan))):
            trial = open_wandb(
                "offline",
                directory=tmp_path,
                names=RunNames("some-project", f"lr={rate}", group="some-group"),
                defaults=RunNames(job_type="one-trial"),
                config={"lr": rate},
            )
            trial.log_curves({"loss/total": losses, "update/mean_abs": (8.0, 4.0, 2.0)})
            trial.summarise({"final/total": losses[-1], "saturated": False})
            trial.finish(0)
        study.log_study(
            (("round", "rate", "loss"), (("round 1", 0.25, 1.0), ("round 1", 4.0, None))),
            {"lr": chart},
            {"chosen_lr": 0.25, "seconds": 1.5},
        )
    finally:
        study.finish(0)

    found = {}
    for records in wandb_runs(tmp_path):
        (run,) = (record["run"] for record in records if record["type"] == "run")
        assert (run["project"], run["run_group"]) == ("some-project", "some-group")
        found[run["display_name"]] = run["job_type"], wandb_history(records), wandb_summary(records)
    assert set(found) == {"some-name", "lr=0.25", "lr=4.0"}
    for name, losses, last in (("lr=0.25", [3, 2, 1], 1), ("lr=4.0", [3, math.inf, None], None)):
        kind, history, summary = found[name]
        assert kind == "one-trial"
        curve = [(row["trainer/global_step"], row["update/mean_abs"]) for row in history]
        assert curve == [(1, 8), (2, 4), (3, 2)]
        logged = [float(row["loss/total"]) for row in history]
        assert [None if math.isnan(loss) else loss for loss in logged] == losses
        assert (summary["final/total"], summary["saturated"]) == (last, False)
    kind, (row,), summary = found["some-name"]
    assert kind == "lr-trial"
    assert row["study/lr._type"] == "image-file"
    assert (row["study/trials.nrows"], row["study/trials.ncols"]) == (2, 3)
    assert (summary["chosen_lr"], summary["seconds"]) == (0.25, 1.5)
    (table,) = (tmp_path / "wandb").rglob("*.table.json")
    assert json.loads(table.read_text()) == {
        "columns": ["round", "rate", "loss"],
        "data": [["round 1", 0.25, 1.0], ["round 1", 4.0, None]],
    }


def test_curves_of_different_lengths_are_refused(tmp_path: Path) -> None:
    run: Any = FakeRun(tmp_path, "offline")
    tracker = WandbTracker(run, "offline", "")
    tracker.log_curves({"a": (1.0, 2.0)})
    assert run.rows == [
        (1, {"a": 1.0, "trainer/global_step": 1}),
        (2, {"a": 2.0, "trainer/global_step": 2}),
    ]
    with pytest.raises(ValueError, match="argument 2 is longer"):
        tracker.log_curves({"a": (1.0, 2.0), "b": (1.0, 2.0, 3.0)})


def test_each_step_is_one_of_wandb_s_own_and_known_ones_are_not_told_again(tmp_path: Path) -> None:
    run: Any = FakeRun(tmp_path, "online", known=5)
    tracker = WandbTracker(run, "online", "")
    (logger,) = tracker.loggers
    grey = Image.new("RGB", (4, 3))
    tracker.log_inputs(grey, [grey])
    for step in (4, 5, 6):
        logger.log_metrics({"loss/total": 1.0}, step=step)
        tracker.log_snapshot(step, grey)
    told = [(step, sorted(values)) for step, values in run.rows]
    numbers, picture = ["loss/total", keys.STEP], [keys.SNAPSHOTS, keys.STEP]
    assert told == [(5, numbers), (5, picture), (6, numbers), (6, picture)]


def test_a_run_that_goes_on_keeps_its_name_at_wandb_and_has_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init = patched_init(monkeypatch)
    earlier, other = (tmp_path / "wandb" / f"offline-run-2026-{name}" for name in ("x", "y"))
    for folder in (earlier, other):
        folder.mkdir(parents=True)
    open_in(tmp_path, "offline", run_id="x")
    (options,) = init.calls
    assert (options["id"], options["resume"]) == ("x", "allow")
    assert not earlier.exists()
    assert other.exists()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("WANDB_MODE", "off", "WANDB_MODE='off': Input should be"),
        ("WANDB_TAGS", "one,,two", "Tag at index 1 is empty"),
        ("WANDB_TAGS", "t" * 65, "is 65 characters"),
        ("WANDB_PROJECT", "a/b", "Invalid project name 'a/b'"),
        ("WANDB_RUN_ID", "a/b", "cannot contain"),
        ("WANDB_RESUME", "perhaps", "WANDB_RESUME='perhaps'"),
        ("WANDB_CONSOLE", "loud", "WANDB_CONSOLE='loud'"),
        ("WANDB_INIT_TIMEOUT", "soon", "WANDB_INIT_TIMEOUT='soon'"),
        ("WANDB_HTTP_TIMEOUT", "soon", "WANDB_HTTP_TIMEOUT='soon'"),
        ("WANDB_BASE_URL", "nowhere", "WANDB_BASE_URL='nowhere'"),
        ("WANDB_SILENT", "perhaps", "WANDB_SILENT='perhaps'"),
        ("WANDB_DISABLE_GIT", "perhaps", "WANDB_DISABLE_GIT='perhaps'"),
        ("WANDB_FORK_FROM", "there", "WANDB_FORK_FROM='there'"),
        ("WANDB_CONFIG_PATHS", "/nowhere", "WANDB_CONFIG_PATHS='/nowhere'"),
        ("WANDB_DIR", "/dev/null/here", "WANDB_DIR=/dev/null/here: cannot be written"),
    ],
)
def test_a_variable_that_wandb_refuses_is_named_and_kept_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("WANDB_NOTES", "some notes")
    around = look_around(tmp_path)
    (refused,) = around.refused
    assert refused.startswith(name)
    assert told in refused
    assert around.settings.run_notes == "some notes"
    assert around.directory == tmp_path
    with environment(around.changes):
        assert name not in os.environ
    assert os.environ[name] == value

    init = patched_init(monkeypatch)
    run = open_in(tmp_path, "auto")
    assert run.mode == "offline"
    assert told in str(run.message)
    assert [call["mode"] for call in init.calls] == ["offline"]
    with pytest.raises(TrackingError, match=rf"tracking\.mode=offline: W&B refuses {name}"):
        open_in(tmp_path, "offline")


def test_a_key_that_wandb_refuses_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", f"{KEY}\n")
    (refused,) = look_around(tmp_path).refused
    assert refused == "WANDB_API_KEY: API key cannot start or end with whitespace"


@pytest.mark.parametrize("token", ["nonsense", "3-1-unix-/nowhere", "3-1-tcp-localhost-1"])
def test_a_stale_service_is_named_and_not_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    import wandb

    wandb.teardown()
    monkeypatch.setenv("WANDB_SERVICE", token)
    (refused,) = look_around(tmp_path).refused
    assert refused.startswith(f"WANDB_SERVICE='{token}': Failed to ")
    assert "WANDB_SERVICE" not in os.environ


@pytest.mark.parametrize(("content", "told"), [("mode = off", "mode='off'"), ("x = 1", "x='1'")])
def test_an_entry_of_a_settings_file_that_wandb_refuses_is_named(
    tmp_path: Path, content: str, told: str
) -> None:
    file = tmp_path / "home" / "settings"
    file.write_text(f"[default]\n{content}\nproject = some-project\n")
    around = look_around(tmp_path)
    (refused,) = around.refused
    assert refused.startswith(f"{told} in {file}: ")
    assert around.settings.project == "some-project"


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_wandb_offline_and_wandb_disabled_decide_for_auto(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    import wandb
    from wandb.cli.cli import cli

    wandb.teardown()  # the command looks for the folder once
    monkeypatch.chdir(tmp_path)
    cli([mode], standalone_mode=False)  # writes wandb/settings in this folder
    assert tracking._choose_mode(look_around(tmp_path), Patience(9)) == (mode, f"`wandb {mode}`")


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize(
    ("value", "mode"), [("true", "disabled"), ("1", "disabled"), ("false", "online")]
)
def test_wandb_disabled_as_a_variable_decides_for_auto(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, mode: str
) -> None:
    monkeypatch.setenv("WANDB_DISABLED", value)
    assert tracking._choose_mode(look_around(tmp_path), Patience(9))[0] == mode


VARIABLES = {
    "WANDB_PROJECT": "their-project",
    "WANDB_NAME": "their-name",
    "WANDB_ENTITY": "their-team",
    "WANDB_RUN_GROUP": "their-group",
    "WANDB_TAGS": "three,four",
    "WANDB_NOTES": "their notes",
    "WANDB_JOB_TYPE": "their-type",
}
NAMED = ("project", "name", "entity", "group", "tags", "notes", "job_type")


@pytest.mark.parametrize(
    ("names", "variables", "found"),
    [
        (NAMES, VARIABLES, [getattr(NAMES, one) for one in NAMED]),
        (
            RunNames(),
            VARIABLES,
            [
                *("their-project", "their-name", "their-team", "their-group"),
                *(("three", "four"), "their notes", "their-type"),
            ],
        ),
        (
            RunNames(),
            dict.fromkeys(VARIABLES, ""),
            ["usual-project", "usual-name", None, None, None, None, "usual-type"],
        ),
    ],
    ids=["settings", "environment", "defaults"],
)
def test_settings_win_over_the_environment_and_that_over_defaults(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: RunNames,
    variables: dict[str, str],
    found: list[Any],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    init = patched_init(monkeypatch)
    open_in(tmp_path, "offline", names)
    (options,) = init.calls
    assert [options[name] for name in NAMED] == found


def test_the_files_of_a_run_go_where_wandb_dir_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_DIR", "elsewhere")
    init = patched_init(monkeypatch)
    run = open_in(tmp_path / "run", "offline")
    assert init.calls[0]["dir"] == str(tmp_path / "elsewhere")
    assert f"wandb sync {tmp_path / 'elsewhere'}/" in str(run.message)


@pytest.mark.parametrize("variable", ["WANDB_INIT_TIMEOUT", "WANDB_FINISH_TIMEOUT"])
def test_the_environment_may_give_wandb_more_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    init = patched_init(monkeypatch)
    open_in(tmp_path, "offline")
    monkeypatch.setenv(variable, "300")
    open_in(tmp_path, "offline")
    setting = variable.removeprefix("WANDB_").lower()
    usual, given = (call["settings"].model_fields_set for call in init.calls)
    assert setting in usual
    assert setting not in given  # so that wandb reads it itself


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize("kind", [TypeError, OSError, ValueError, json.JSONDecodeError])
@pytest.mark.parametrize("fails", ["import", "login", "setup", "init"])
def test_whatever_opening_raises_in_auto_the_run_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: type[Exception],
    fails: str,
) -> None:
    import wandb

    def refuse(*args: Any, **options: Any) -> None:
        raise kind("not today", "{", 0) if kind is json.JSONDecodeError else kind("not today")

    patched_init(monkeypatch)
    if fails == "import":
        monkeypatch.setattr(tracking, "look_around", refuse)
    else:
        monkeypatch.setattr(wandb, fails, refuse)
    with caplog.at_level(logging.INFO, logger="overpaint"):
        run = open_in(tmp_path, "auto")
    said = [*(record.getMessage() for record in caplog.records), *filter(None, [run.message])]
    assert len(said) == 1
    assert "not today" in said[0]
    assert run.mode == ("offline" if fails == "login" else "disabled")
    with pytest.raises(TrackingError, match=r"tracking\.mode=online: .*not today"):
        open_in(tmp_path, "online")


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_a_trial_takes_the_next_best_mode_where_its_study_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("WANDB_CONSOLE", "loud")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    patched_init(monkeypatch, refusal=TypeError("not today"))
    trial = open_wandb(
        mode,
        directory=tmp_path,
        names=NAMES,
        defaults=RunNames(),
        config={},
        is_required=False,
    )
    assert trial.mode == "offline"


def test_folders_of_wandb_go_into_the_run_folder_where_the_home_cannot_take_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "file"
    home.touch()
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    for name in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    picture = tmp_path / "result.png"
    Image.new("RGB", (5, 4)).save(picture)
    folder = tmp_path / "run"
    folder.mkdir()
    run = open_in(folder, "offline")
    run.log_result({"final/total": 1.5}, [picture])
    run.finish(0)
    assert run.mode == "offline"
    assert list((folder / "wandb" / "home" / "data" / "artifacts" / "staging").iterdir())
    assert dict(os.environ) == {**before, "WANDB_SERVICE": os.environ["WANDB_SERVICE"]}


def test_a_folder_that_the_user_names_stays_if_it_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "not" / "yet"))
    assert "WANDB_DATA_DIR" not in look_around(tmp_path).changes


def test_what_the_service_says_does_not_reach_the_screen(capfd: pytest.CaptureFixture[str]) -> None:
    with nothing_said():
        service = subprocess.Popen(["sh", "-c", "sleep 0.2; echo panic >&2; echo lost"])
        print("inside", file=sys.stderr)  # noqa: T201
    print("after", file=sys.stderr)  # noqa: T201
    assert service.wait() == 0
    assert capfd.readouterr() == ("", "after\n")
