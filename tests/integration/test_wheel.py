"""The package as a stranger has it: a wheel, installed apart from the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from conftest import PRESETS, REPOSITORY, make_picture
from PIL import Image

from overpaint.encoder.packed import BOX
from overpaint.encoder.weights import VARIABLE
from overpaint.files import file_sha256

pytestmark = pytest.mark.slow

TINY = ["image.size=32", "schedule.steps=2", "tracking.mode=disabled", "trainer.accelerator=cpu"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, for a build may leave files behind."""
    copy, built = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("built")
    for path in REPOSITORY.iterdir():
        if path.name in ("src", "configs", "assets", "scripts", "tests", "docs"):
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(path, copy / path.name, ignore=ignored)
        elif path.is_file():
            shutil.copy(path, copy)
    words = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(built), str(copy)]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to put on the path."""
    folder = tmp_path_factory.mktemp("installed")
    words = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    words += ["--disable-pip-version-check", str(wheel)]
    subprocess.run([sys.executable, *words], check=True)
    return folder


def python(
    installed: Path, cwd: Path, *words: str, script: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Python in an empty folder, with the installed package before the checkout's."""
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE}
    return subprocess.run(
        [sys.executable, *words] if script is None else [sys.executable, str(script), *words],
        cwd=cwd,
        env={**environment, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_the_wheel_holds_presets_samples_and_the_networks_but_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in names} == {"overpaint"}
    wanted = {f"overpaint/{path.relative_to(REPOSITORY).as_posix()}" for path in PRESETS}
    samples = yaml.safe_load((REPOSITORY / "configs" / "default.yaml").read_text())
    wanted |= {f"overpaint/{name}" for name in samples["style"]["images"]}
    wanted |= {f"overpaint/{samples['content']['image']}", "overpaint/py.typed"}
    wanted |= {"overpaint/encoder/data/vgg19.safetensors"}
    wanted |= {f"overpaint/reports/page/{name}" for name in ("page.html", "page.css", "page.js")}
    wanted |= {"overpaint/encoder/data/vgg19_slim.safetensors"}
    assert wanted <= names
    assert not [name for name in names if "test" in name or "scripts" in name]


def test_the_package_is_the_installed_one(installed: Path, tmp_path: Path) -> None:
    code = "import overpaint; print(overpaint.__file__)"
    done = python(installed, tmp_path, "-c", code)
    assert Path(done.stdout.strip()) == installed / "overpaint" / "__init__.py"


def test_two_pictures_become_a_third_in_any_folder(installed: Path, tmp_path: Path) -> None:
    make_picture((64, 48), seed=1).save(tmp_path / "photo.png")
    make_picture((56, 60), seed=2).save(tmp_path / "painting.png")
    words = ["photo.png", "painting.png", "-o", "painted.png", *TINY]
    done = python(installed, tmp_path, "-m", "overpaint", *words)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "painted.png") as picture:
        assert picture.size == (32, 24)


def test_without_pictures_the_samples_are_painted_with_the_whole_network_in_the_wheel(
    installed: Path, tmp_path: Path
) -> None:
    script = installed / "bin" / "overpaint"  # what pip makes of the entry point
    done = python(installed, tmp_path, *TINY, script=script)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "result.png").is_file()
    written = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    assert Path(written["content"]["image"]).is_relative_to(installed / "overpaint" / "assets")
    weights = json.loads((folder / "environment.json").read_text(encoding="utf-8"))["weights"]
    assert weights["name"] == "vgg19"
    assert Path(weights["path"]) == installed / "overpaint/encoder/data/vgg19.safetensors"
    assert weights["sha256"] == file_sha256(BOX)


def test_a_preset_is_found_by_its_name(installed: Path, tmp_path: Path) -> None:
    words = ["-m", "overpaint", "--config", "paper", "--print-config"]
    done = python(installed, tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["loss"]["normalization"] == "paper"
