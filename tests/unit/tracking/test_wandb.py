from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest
from conftest import wandb_history, wandb_runs, wandb_summary
from PIL import Image

from overpaint.errors import TrackingError
from overpaint.tracking import keys
from overpaint.tracking.port import Tracker
from overpaint.tracking.wandb import opening as tracking
from overpaint.tracking.wandb.opening import open_wandb
from overpaint.tracking.wandb.run import WandbTracker

KEY = "0" * 40
WANDB_HOST = "https://api.wandb.ai"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No account, no proxy, no server but those that a test makes."""
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)
    for name in ("API_KEY", "IDENTITY_TOKEN_FILE", "MODE", "DIR", "PROJECT", "ENTITY", "RUN_ID"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "USERPROFILE", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(home))
    for name in ("CACHE_DIR", "CONFIG_DIR", "DATA_DIR", "ARTIFACT_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(home))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("NETRC", str(home / "no netrc"))


@pytest.mark.parametrize("name", ["WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"])
def test_a_key_in_the_environment_is_found(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert not tracking._has_key(WANDB_HOST)
    monkeypatch.setenv(name, KEY)
    assert tracking._has_key(WANDB_HOST)
    monkeypatch.setenv(name, "")
    assert not tracking._has_key(WANDB_HOST)


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
) -> None:
    file = tmp_path / "home" / place
    file.write_text(f"machine {machine}\n  login user\n  password {KEY}\n")
    file.chmod(0o600)
    if place == "NETRC":
        monkeypatch.setenv("NETRC", str(file))
    else:
        monkeypatch.delenv("NETRC")
    assert tracking._has_key(url) is known


def test_a_netrc_file_named_by_the_environment_is_the_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So it is for wandb, which asks on a terminal where it finds no key.
    (tmp_path / "home" / ".netrc").write_text(f"machine api.wandb.ai login user password {KEY}\n")
    named = tmp_path / "netrc"
    named.write_text("machine github.com login user password word\n")
    monkeypatch.setenv("NETRC", str(named))
    assert not tracking._has_key(WANDB_HOST)


@pytest.mark.parametrize(
    "content",
    ["machine", "gibberish here", "machine api.wandb.ai\n", "machine api.wandb.ai login user\n"],
)
def test_a_netrc_file_without_a_password_holds_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    file = tmp_path / "netrc"
    file.write_text(content)
    monkeypatch.setenv("NETRC", str(file))
    assert not tracking._has_key(WANDB_HOST)


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
    monkeypatch: pytest.MonkeyPatch, open_port: int, value: str | None, mode: str
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{open_port}")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    if value is not None:
        monkeypatch.setenv("WANDB_MODE", value)
    chosen, reason = tracking._choose_mode()
    assert chosen == mode
    assert ("WANDB_MODE" in reason) == (mode != "online")


@pytest.mark.parametrize("value", [None, "online"])
def test_auto_without_a_key_is_offline_without_asking_the_host(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value:
        monkeypatch.setenv("WANDB_MODE", value)
    monkeypatch.setattr(tracking, "answers", lambda url: pytest.fail(f"asked {url}"))
    assert tracking._choose_mode() == ("offline", "no API key; `wandb login` sets one")


def test_auto_with_a_key_but_no_answer_is_offline_and_names_the_host(
    monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    monkeypatch.setenv("WANDB_BASE_URL", url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert tracking._choose_mode() == ("offline", f"{url} does not answer")


def open_in(directory: Path, mode: str, *, run_id: str | None = None) -> Tracker:
    return open_wandb(
        mode,
        directory=directory,
        project="some-project",
        name="some-name",
        entity="some-team",
        group="some-group",
        tags=("one", "two"),
        notes="some notes",
        job_type="lr-trial",
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
    with pytest.raises(TrackingError, match=r"tracking\.mode=online.* `wandb login`"):
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
        "tags": ["one", "two"],
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
    with pytest.raises(TrackingError, match="could not be opened: no such entity: x"):
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
                project="some-project",
                name=f"lr={rate}",
                group="some-group",
                job_type="one-trial",
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
