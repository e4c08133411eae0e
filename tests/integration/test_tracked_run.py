"""What a whole run tells W&B, read back from the records of an offline run."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import make_picture, wandb_history, wandb_records, wandb_summary

from overpaint.records.result import RunResult
from overpaint.runs.stylize import stylize
from overpaint.settings.reading import load_config
from overpaint.tracking import keys

PHOTO, PAINTINGS = "фото [1].png", ("painting #2.png", "картина.png")


@pytest.fixture(scope="module")
def tracked(
    tmp_path_factory: pytest.TempPathFactory, slim_file: Path
) -> tuple[RunResult, list[dict[str, Any]]]:
    """A run of two sizes, of files whose names W&B could not take."""
    folder = tmp_path_factory.mktemp("tracked")
    for seed, (name, size) in enumerate(
        zip((PHOTO, *PAINTINGS), ((128, 96), (112, 120), (80, 160)), strict=True)
    ):
        make_picture(size, seed=seed).save(folder / name)
    values = {
        "content.image": str(folder / PHOTO),
        "style.images": [str(folder / name) for name in PAINTINGS],
        "encoder.name": "vgg19_slim",
        "encoder.weights": str(slim_file),
        "output.dir": str(folder / "runs"),
    }
    words = [
        *("image.size=64", "schedule.steps=6", "schedule.scales=[0.5, 1.0]"),
        *("snapshots.every=2", "tracking.mode=offline", "tracking.log_every=1"),
        *("tracking.group=some group", "trainer.accelerator=cpu"),
    ]
    result = stylize(load_config("default", words, values=values))
    return result, wandb_records(result.folder)


def artifacts(records: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    found = [record["artifact"] for record in records if record["type"] == "artifact"]
    return [artifact for artifact in found if artifact["type"] == kind]


def test_each_step_is_one_row_with_its_speed_and_its_picture(tracked: Any) -> None:
    result, records = tracked
    rows = wandb_history(records)
    assert [row["_step"] for row in rows] == [0, 1, 2, 3, 4, 5, 6]
    for row in rows[1:]:
        assert row[keys.STEP] == row["_step"]
        assert row[keys.SPEED] > 0
        assert row[keys.PEAK_MEMORY] > 1
        assert ("snapshots.path" in row) == (row["_step"] in (1, 2, 4, 6))
    assert "perf/" not in (result.folder / "metrics.csv").read_text()


def test_the_summary_has_the_last_the_least_and_the_final_losses_as_numbers(tracked: Any) -> None:
    result, records = tracked
    summary, rows = wandb_summary(records), wandb_history(records)
    names = list(result.losses)
    assert {"total", "content", "style", "style/relu1_1"} <= set(names)
    assert result.smaller_steps == 3
    for name in names:
        assert summary[keys.final(name)] == pytest.approx(result.losses[name])
        assert summary[keys.loss(name)] == rows[-1][keys.loss(name)]
        # At the smaller size the losses are others.
        assert summary[keys.least(name)] == min(row[keys.loss(name)] for row in rows[4:])
    for name in (keys.TIME, keys.SPEED, keys.PEAK_MEMORY):
        assert isinstance(summary[name], float)
        assert math.isfinite(summary[name])
    assert summary[keys.TIME] == pytest.approx(result.seconds)


def test_photo_and_paintings_are_artifacts_that_the_run_uses(tracked: Any) -> None:
    result, records = tracked
    hashes = json.loads((result.folder / "environment.json").read_text())["inputs"]
    (photo,) = artifacts(records, "photo")
    paintings = artifacts(records, "painting")
    assert photo["name"] == f"photo-{hashes['content.image'][:16]}"
    assert [one["name"] for one in paintings] == [
        f"painting-{hashes[f'style.images[{i}]'][:16]}" for i in (0, 1)
    ]
    for artifact in (photo, *paintings):
        assert artifact["use_after_commit"], "an input of the run, not what it made"
        assert json.loads(artifact["metadata"])["file"] in (PHOTO, *PAINTINGS)


def test_the_result_is_a_version_of_its_group_s_artifact(tracked: Any) -> None:
    _, records = tracked
    (result,) = artifacts(records, "result")
    assert result["name"].startswith("result-some-group-")
    assert not result.get("use_after_commit")
    assert result["aliases"] == ["latest"]  # whether it is the best, an offline run cannot know
    assert {one["path"] for one in result["manifest"]["contents"]} == {"result.png", "config.yaml"}


def test_the_table_has_pictures_settings_and_losses_in_one_row(tracked: Any) -> None:
    result, records = tracked
    assert wandb_summary(records)["result._type"] == "table-file"
    (artifact,) = artifacts(records, "run_table")
    files = {one["path"]: one["local_path"] for one in artifact["manifest"]["contents"]}
    table = json.loads(Path(files["result.table.json"]).read_text(encoding="utf-8"))
    (values,) = table["data"]
    row = dict(zip(table["columns"], values, strict=True))
    for name in ("content", "style", "result"):
        assert row[name]["_type"] == "image-file"
        assert row[name]["path"] in files
    assert (row["photo"], row["paintings"]) == (PHOTO, ", ".join(PAINTINGS))
    assert (row["style.weight"], row["schedule.scales"]) == (2.0, "0.5, 1.0")
    assert row["content.layers"] == "relu4_2: 1"
    assert row["optimizer.lr"] == 0.03
    assert row["final/total"] == pytest.approx(result.losses["total"])


def test_no_media_path_or_caption_has_what_breaks_syncing(tracked: Any) -> None:
    result, records = tracked
    (files,) = (result.folder / "wandb").glob("offline-run-*/files")
    media = [path.relative_to(files).as_posix() for path in (files / "media").rglob("*.*")]
    assert len(media) == 3 + 4 + 1
    entries = [
        entry["path"]
        for record in records
        if record["type"] == "artifact"
        for entry in record["artifact"]["manifest"]["contents"]
    ]
    for name in (*media, *entries):
        assert re.fullmatch(r"[A-Za-z0-9_./-]+", name)
    captions = [
        row[key] for row in wandb_history(records) for key in row if key.endswith(".caption")
    ]
    assert captions
    assert all(re.fullmatch(r"[a-z0-9 ]+", caption) for caption in captions)
