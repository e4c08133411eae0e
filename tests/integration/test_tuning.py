from __future__ import annotations

import csv
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from conftest import wandb_history, wandb_runs, wandb_summary
from PIL import Image

from overpaint.building.sources import read_sources
from overpaint.errors import ConfigError, DivergedError
from overpaint.runs.stylize import stylize
from overpaint.settings.reading import load_config
from overpaint.settings.schema import Config
from overpaint.tuning import series
from overpaint.tuning import tune as tuning
from overpaint.tuning.search import Trial, spaced
from overpaint.tuning.series import compare_rates
from overpaint.tuning.tune import TuneResult, tune
from overpaint.tuning.workbench import Workbench, open_workbench

pytestmark = pytest.mark.usefixtures("one_thread")

FILES = {"lr.json", "lr.png", "contact_sheet.png", "config.yaml"}

Try = Callable[[Workbench, Sequence[float], int], Any]


@pytest.fixture
def small(make_config: Callable[..., Config], slim_file: Path) -> Callable[..., Config]:
    """Settings of a search of a second, with a tiny network: 4 rates over 4 steps, 2 over 8."""

    def build(*overrides: str) -> Config:
        usual = {
            "encoder.name": "vgg19_slim",
            "encoder.weights": str(slim_file),
            "trainer.precision": "32-true",
            "init.mode": "noise",
            "image.size": "48",
            "tune.size": "24",
            "schedule.steps": "8",
            "tune.candidates": "4",
            "tune.rounds": "2",
            "optimizer.lr": "1",
        }
        given = {override.partition("=")[0] for override in overrides}
        kept = [f"{key}={value}" for key, value in usual.items() if key not in given]
        return make_config(*kept, *overrides)

    return build


@pytest.fixture
def no_chart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out what takes longest and is tested elsewhere."""
    monkeypatch.setattr(tuning, "save_chart", lambda *args, **options: None)


@pytest.fixture
def short_range_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "RANGE_STEPS", 16)


def read_json(path: Path) -> dict[str, Any]:
    """JSON as the standard has it: no NaN, no Infinity."""

    def refused(word: str) -> NoReturn:
        raise AssertionError(f"{word} is no JSON")

    found = json.loads(path.read_text(encoding="utf-8"), parse_constant=refused)
    assert isinstance(found, dict)
    return found


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_a_search_leaves_a_rate_and_what_led_to_it(
    small: Callable[..., Config], slim_file: Path, tmp_path: Path
) -> None:
    config = small("optimizer.lr=0.5", "schedule.scales=[0.5, 1.0]", "seed=3")
    result = tune(config)
    assert result.folder.parent == tmp_path / "runs"
    assert "-lr-tune-photo-painting" in result.folder.name
    assert {path.name for path in result.folder.iterdir()} == FILES
    assert result.size == 24
    rate = result.trial.rate
    assert result.config == replace(config, optimizer=replace(config.optimizer, lr=rate))
    assert load_config(result.folder / "config.yaml") == result.config

    found = read_json(result.folder / "lr.json")
    assert found["chosen"] == rate
    assert (found["optimizer"], found["normalization"]) == ("adam", "relative")
    assert (found["size"], found["precision"]) == (24, "32-true")
    assert found["weights"]["name"] == "vgg19_slim"
    assert len(found["weights"]["sha256"]) == 64
    assert found["versions"]["torch"]
    test = found["range_test"]
    assert len(test["rates"]) == tuning.RANGE_STEPS
    assert len(test["losses"]) == tuning.RANGE_STEPS + 1
    assert test["rates"][0] == pytest.approx(0.01 / 255, rel=0.01)
    assert test["rates"][-1] == 1.0
    assert test["rates"][0] <= test["lowest"] <= rate <= test["highest"] <= 1.0
    first, last = found["rounds"]
    assert [(len(one["losses"]), len(one["moved"])) for one in first] == [(5, 4)] * 4
    assert [(len(one["losses"]), len(one["moved"])) for one in last] == [(9, 8)] * len(last)
    assert [one["rate"] for one in first] == spaced(test["lowest"], test["highest"], 4)
    assert {one["rate"] for one in last} <= {one["rate"] for one in first}
    for saved, trials in zip((first, last), result.rounds, strict=True):
        assert [one["rate"] for one in saved] == [one.rate for one in trials]
        for one, trial in zip(saved, trials, strict=True):
            assert one["losses"] == pytest.approx(trial.losses, rel=1e-6)
            assert one["loss"] == pytest.approx(trial.loss, rel=1e-6)
            assert one["steps"] == trial.steps
    # All trials start from one picture.
    starts = {one["losses"][0] for one in (*first, *last)}
    assert max(starts) == pytest.approx(min(starts), rel=1e-5)
    assert test["losses"][0] == pytest.approx(min(starts), rel=1e-5)

    with Image.open(result.folder / "lr.png") as chart:
        assert chart.size[0] > 1000
    with Image.open(result.folder / "contact_sheet.png") as sheet:
        # Columns: steps 1 and 4 of the first round, and the last one of the second.
        assert sheet.size[0] > 3 * 180
        assert sheet.size[1] > 4 * 135


@pytest.mark.usefixtures("no_chart", "short_range_test")
@pytest.mark.parametrize("normalization", ["relative", "gatys", "paper"])
@pytest.mark.parametrize("name", ["adam", "sgd", "lbfgs"])
def test_every_optimizer_gets_a_rate_for_every_loss(
    small: Callable[..., Config], name: str, normalization: str
) -> None:
    result = tune(small(f"optimizer.name={name}", f"loss.normalization={normalization}"))
    found = read_json(result.folder / "lr.json")
    rate = result.trial.rate
    low, high = found["range_test"]["lowest"], found["range_test"]["highest"]
    assert low <= rate <= high
    assert result.trial in result.rounds[-1]
    assert result.trial.is_usable
    assert result.trial.loss < 0.9 * result.trial.losses[0]
    assert result.config.optimizer.lr == rate
    if name == "sgd" and normalization == "paper":
        assert high < 1e-6, "its gradient is huge"
        assert found["range_test"]["rates"][0] < 1e-11


def losses_of(result: TuneResult) -> list[list[tuple[float, ...]]]:
    return [[(one.rate, *one.losses) for one in trials] for trials in result.rounds]


@pytest.mark.usefixtures("no_chart", "short_range_test")
def test_the_same_seed_gives_the_same_search(small: Callable[..., Config]) -> None:
    first, again, other = (tune(small(f"seed={seed}")) for seed in (0, 0, 1))
    assert losses_of(first) == losses_of(again)
    assert first.folder != again.folder
    sheets = [pixels(one.folder / "contact_sheet.png") for one in (first, again)]
    np.testing.assert_array_equal(*sheets)
    assert losses_of(first)[0][0][1] != losses_of(other)[0][0][1], "its noise is another"


@pytest.mark.usefixtures("no_chart")
@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_the_rate_found_is_as_good_as_the_best_of_a_grid(
    small: Callable[..., Config], name: str
) -> None:
    config = small(
        f"optimizer.name={name}", "tune.candidates=8", "tune.rounds=3", "schedule.steps=16"
    )
    rate = tune(config).trial.rate
    bench = open_workbench(config, read_sources(config))
    grid = spaced(*bench.rates_by_length(), 17)
    trials = bench.try_rates([rate, *grid], 16)
    best = min(one.loss for one in trials if one.is_usable)
    worst = max(one.loss for one in trials if one.is_usable)
    assert trials[0].loss <= 1.1 * best
    assert worst > 2 * best, "else any rate would do"


@pytest.mark.usefixtures("no_chart")
def test_given_ends_are_kept_and_rates_lie_between_them(
    small: Callable[..., Config], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="overpaint"):
        result = tune(small("tune.lowest=0.0002", "tune.highest=0.0016", "tune.steps=4"))
    first, _ = result.rounds
    assert [one.rate for one in first] == [0.0002, 0.0004, 0.0008, 0.0016]
    assert read_json(result.folder / "lr.json")["range_test"]["rates"][0] == 0.0002
    # Such rates are far too low, so the highest is the best, and a run has more steps than trials.
    assert result.trial.rate == 0.0016
    messages = [record.getMessage() for record in caplog.records]
    (warning,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert "The rate found, 0.0016, is the highest one tried; tune.highest can" in warning
    assert any("compared over 4 steps, a run has 8" in message for message in messages)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["tune.lowest=5"], "no rates between 5 and 1; give both tune.lowest and tune.highest"),
        (["tune.highest=1e-9"], "no rates between 3.92157e-05 and 1e-09"),
        (
            ["init.mode=content", "style.weight=0", "loss.tv_weight=0"],
            "No rate changes the picture: the gradient at the start has a mean size of 0.0.",
        ),
    ],
    ids=["lowest too high", "highest too low", "no gradient"],
)
def test_settings_that_leave_no_rate_are_refused(
    small: Callable[..., Config], tmp_path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        tune(small(*overrides))
    (folder,) = (tmp_path / "runs").iterdir()
    assert [path.name for path in folder.iterdir()] == ["lr.json"]
    found = read_json(folder / "lr.json")
    assert (found["chosen"], found["rounds"]) == (None, [])


def test_rates_that_all_ruin_the_picture_are_said_to(
    small: Callable[..., Config], tmp_path: Path
) -> None:
    with pytest.raises(DivergedError, match=r"No rate from 1e\+06 to 1e\+09 gives a picture"):
        tune(small("optimizer.name=sgd", "tune.lowest=1e6", "tune.highest=1e9"))
    (folder,) = (tmp_path / "runs").iterdir()
    assert {path.name for path in folder.iterdir()} == FILES - {"config.yaml"}
    found = read_json(folder / "lr.json")
    assert found["chosen"] is None
    assert all(one["saturated"] for one in found["rounds"][0])


def test_a_loss_beyond_the_numbers_is_told_as_such(
    small: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    measure = Workbench._measure
    monkeypatch.setattr(Workbench, "_measure", lambda bench, x: measure(bench, x) + math.inf)
    with pytest.raises(DivergedError, match=r"No rate from .* gives a picture"):
        tune(small())
    (folder,) = (tmp_path / "runs").iterdir()
    assert {path.name for path in folder.iterdir()} == FILES - {"config.yaml"}
    found = read_json(folder / "lr.json")
    assert {one["loss"] for one in found["rounds"][0]} == {None}
    assert found["range_test"]["losses"][0] is None


@pytest.fixture
def interrupted_in_round(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Plays Ctrl-C in a round."""

    def arrange(number: int) -> None:
        rounds: list[int] = []
        try_rates = Workbench.try_rates

        def interrupted(bench: Workbench, *args: Any, **options: Any) -> Any:
            rounds.append(1)
            if len(rounds) == number:
                raise KeyboardInterrupt
            return try_rates(bench, *args, **options)

        monkeypatch.setattr(Workbench, "try_rates", interrupted)

    return arrange


def the_run(records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    (run,) = (record["run"] for record in records if record["type"] == "run")
    return run


def exit_code(records: Sequence[Mapping[str, Any]]) -> int:
    (end,) = (record["exit"] for record in records if record["type"] == "exit")
    return int(end.get("exit_code", 0))


@pytest.mark.slow
def test_an_interrupted_search_keeps_what_it_knows(
    small: Callable[..., Config], interrupted_in_round: Callable[[int], None], tmp_path: Path
) -> None:
    interrupted_in_round(2)
    with pytest.raises(KeyboardInterrupt):
        tune(small("tracking.mode=offline", "tune.candidates=4"))
    (folder,) = (tmp_path / "runs").iterdir()
    assert {path.name for path in folder.iterdir()} == {*FILES, "wandb"} - {"config.yaml"}
    found = read_json(folder / "lr.json")
    assert found["chosen"] is None
    assert [len(trials) for trials in found["rounds"]] == [4]
    ends = {the_run(records)["job_type"]: exit_code(records) for records in wandb_runs(folder)}
    assert ends == {"lr-tune": 130, "lr-trial": 0}


def test_a_search_interrupted_in_its_first_round_keeps_the_range_test(
    small: Callable[..., Config], interrupted_in_round: Callable[[int], None], tmp_path: Path
) -> None:
    interrupted_in_round(1)
    with pytest.raises(KeyboardInterrupt):
        tune(small())
    (folder,) = (tmp_path / "runs").iterdir()
    assert [path.name for path in folder.iterdir()] == ["lr.json"]
    found = read_json(folder / "lr.json")
    assert found["rounds"] == []
    assert len(found["range_test"]["losses"]) == tuning.RANGE_STEPS + 1


@pytest.mark.slow
def test_each_trial_is_a_run_of_its_own_in_the_study_s_group(
    small: Callable[..., Config],
) -> None:
    result = tune(small("tracking.mode=offline", "tracking.project=test"))
    studies, trials = [], []
    for records in wandb_runs(result.folder):
        run = the_run(records)
        assert run["project"] == "test"
        assert run["run_group"] == result.folder.name
        assert exit_code(records) == 0
        settings = run["config"]["update"]
        assert settings["image"]["size"] == (48 if run["job_type"] == "lr-tune" else 24)
        if run["job_type"] == "lr-tune":
            studies.append((run, records))
        else:
            assert run["job_type"] == "lr-trial"
            trials.append((run, records))
    ((study, records),) = studies
    assert study["display_name"] == result.folder.name
    summary = wandb_summary(records)
    assert summary["chosen_lr"] == result.trial.rate
    logged = [row for row in wandb_history(records) if "study/trials.nrows" in row]
    assert len(logged) == 1
    assert logged[0]["study/trials.nrows"] == sum(map(len, result.rounds))
    assert {"study/lr.path", "study/contact_sheet.path"} <= logged[0].keys()

    expected = {
        f"round {number} lr={trial.rate:.3g}": trial
        for number, trials in enumerate(result.rounds, 1)
        for trial in trials
    }
    assert {run["display_name"] for run, _ in trials} == expected.keys()
    for run, records in trials:
        trial = expected[run["display_name"]]
        settings = run["config"]["update"]
        assert settings["optimizer"]["lr"] == trial.rate
        assert settings["schedule"]["steps"] == trial.steps
        rows = [row for row in wandb_history(records) if "loss/total" in row]
        assert [row["trainer/global_step"] for row in rows] == [*range(1, trial.steps + 1)]
        assert [row["loss/total"] for row in rows] == pytest.approx(trial.losses[:-1])
        assert [row["update/mean_abs"] for row in rows] == pytest.approx(trial.moved)
        assert wandb_summary(records)["final/total"] == pytest.approx(trial.losses[-1])
        assert any("snapshots.caption" in row for row in wandb_history(records))


@pytest.mark.parametrize(
    ("name", "rate", "precision"),
    [
        ("adam", 0.05, "32-true"),
        ("sgd", 0.3, "32-true"),
        ("lbfgs", 0.7, "32-true"),
        ("adam", 0.05, "bf16-mixed"),
        ("sgd", 0.3, "bf16-mixed"),
    ],
)
def test_a_trial_is_a_run(
    small: Callable[..., Config], name: str, rate: float, precision: str
) -> None:
    config = small(
        f"optimizer.name={name}",
        f"optimizer.lr={rate}",
        f"trainer.precision={precision}",
        "optimizer.adam.eps=0.1",  # so that the unit of the loss matters
        "schedule.steps=5",
        "tracking.log_every=1",
        "image.size=37",  # 37 by 28: neither divides by 16
        "tune.size=37",
    )
    bench = open_workbench(config, read_sources(config))
    _, trial = bench.try_rates([rate / 7, rate], 5, pictures_at=[1])
    run = stylize(config)
    assert bench.precision == run.precision == precision
    with (run.folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    tolerance = {"32-true": 1e-5, "bf16-mixed": 1e-3}[precision]
    losses = [*(float(row["loss/total"]) for row in rows), run.losses["total"]]
    assert trial.losses == pytest.approx(losses, rel=tolerance)
    assert trial.moved == pytest.approx(
        [float(row["update/mean_abs"]) for row in rows], rel=10 * tolerance
    )
    snapshots = run.folder / "snapshots"
    for step, picture in trial.pictures.items():
        difference = np.abs(np.asarray(picture) - pixels(snapshots / f"step_{step:05d}.png"))
        assert difference.mean() < 0.05
    assert list(trial.pictures) == [1, 5]
    assert trial.losses[-1] < 0.95 * trial.losses[0]


@pytest.mark.slow
def test_a_series_shows_rates_over_five_decades(small: Callable[..., Config]) -> None:
    result = compare_rates(small("init.mode=multiply", "optimizer.name=lbfgs"))
    assert "-lr-series-photo-painting" in result.folder.name
    names = {f"{kind}_{name}.png" for kind in ("lr", "contact_sheet") for name in ("sgd", "adam")}
    assert {path.name for path in result.folder.iterdir()} == {*names, "lr.json"}
    assert list(result.rounds) == [
        "gradient descent, relative losses, 24 px",
        "Adam, relative losses, 24 px",
    ]
    for trials in result.rounds.values():
        assert len(trials) == 11
        rates = [one.rate for one in trials]
        assert rates[-1] / rates[0] == pytest.approx(1e5, rel=0.02)
        assert {one.steps for one in trials} == {8}
        # As long as asked for, until the clamp shortens what is longest.
        for i, one in enumerate(trials[:7]):
            assert one.moved[0] == pytest.approx(0.001 * 10 ** (i / 2), rel=0.05)
    found = read_json(result.folder / "lr.json")
    saved = {one["optimizer"]: one for one in found["series"]}
    assert set(saved) == {"sgd", "adam"}
    assert saved["sgd"]["rate_in_255_per_rate"] == 65025
    assert saved["adam"]["rate_in_255_per_rate"] == 255
    assert all(len(one["trials"]) == 11 for one in saved.values())
    for name in ("sgd", "adam"):
        with Image.open(result.folder / f"contact_sheet_{name}.png") as sheet:
            assert sheet.size[1] > 11 * 100


@pytest.mark.slow
def test_a_series_is_a_run_and_its_trials_are_runs(
    small: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "RATES", 2)
    result = compare_rates(small("tracking.mode=offline", "tracking.group=some-group"))
    kinds, studies = [], []
    for records in wandb_runs(result.folder):
        run = the_run(records)
        assert run["run_group"] == "some-group"
        kinds.append((run["job_type"], run["config"]["update"]["optimizer"]["name"]))
        if run["job_type"] == "lr-series":
            studies.append(records)
    trials = [kind for kind in kinds if kind[0] == "lr-trial"]
    assert sorted(trials) == [("lr-trial", "adam")] * 2 + [("lr-trial", "sgd")] * 2
    ((row,),) = (wandb_history(records) for records in studies)
    assert row["study/trials.nrows"] == 4
    assert {
        f"study/{kind}_{name}.path" for kind in ("lr", "contact_sheet") for name in ("sgd", "adam")
    } <= row.keys()


@pytest.mark.slow
def test_an_interrupted_series_keeps_the_first_optimizer(
    small: Callable[..., Config], interrupted_in_round: Callable[[int], None], tmp_path: Path
) -> None:
    interrupted_in_round(2)
    with pytest.raises(KeyboardInterrupt):
        compare_rates(small())
    (folder,) = (tmp_path / "runs").iterdir()
    assert {path.name for path in folder.iterdir()} == {
        "lr.json",
        "lr_sgd.png",
        "contact_sheet_sgd.png",
    }
    assert [one["optimizer"] for one in read_json(folder / "lr.json")["series"]] == ["sgd"]


@pytest.mark.slow
def test_no_number_is_null_in_json(
    small: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial that ended beyond the numbers is written, drawn and left out."""
    try_rates = Workbench.try_rates

    def one_is_lost(bench: Workbench, rates: Sequence[float], steps: int, **options: Any) -> Any:
        trials = try_rates(bench, rates, steps, **options)
        start, nan = trials[-1].losses[0], math.nan
        return [*trials[:-1], Trial(rates[-1], (start, *[nan] * steps), (nan,) * steps)]

    monkeypatch.setattr(Workbench, "try_rates", one_is_lost)
    result = tune(small("tracking.mode=offline", "tune.rounds=1"))
    *calm, lost = read_json(result.folder / "lr.json")["rounds"][0]
    assert (lost["loss"], lost["moved_first"]) == (None, None)
    assert lost["losses"][1:] == lost["moved"] == [None] * 8
    assert all(one["loss"] for one in calm)
    assert result.trial.rate < lost["rate"]
