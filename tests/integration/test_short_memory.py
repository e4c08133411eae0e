"""Runs that memory does not hold."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from overpaint.building.memory import require_memory, shortage_told
from overpaint.errors import NotEnoughMemoryError
from overpaint.exits import FAILED, status_of
from overpaint.headroom import Sharing
from overpaint.pictures.inputs import Inputs, load_inputs
from overpaint.runs.paint import paint
from overpaint.runs.stylize import stylize
from overpaint.settings.schema import Config
from overpaint.tuning.tune import tune

MakeConfig = Callable[..., Config]


def set_free(monkeypatch: pytest.MonkeyPatch, free: int | None) -> None:
    monkeypatch.setattr("overpaint.building.memory.free_memory_bytes", lambda device: free)


def read(config: Config) -> Inputs:
    return load_inputs(config.content.image, config.style.images)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere this limit is not kept")
@pytest.mark.parametrize("size", [30000, 60000])
def test_a_size_that_cannot_fit_is_said_before_weights_are_read(
    tmp_path: Path, photo: Path, painting: Path, size: int
) -> None:
    words = [photo.name, painting.name, f"image.size={size}", "encoder.weights=gone.pth"]
    (tmp_path / "gone.pth").write_bytes(b"no weights")
    done = subprocess.run(
        [
            "sh",
            "-c",
            'ulimit -v 9000000; exec "$@"',
            "sh",
            sys.executable,
            "-m",
            "overpaint",
            *words,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == FAILED, done.stderr
    said = " ".join(done.stderr.split())
    found = re.fullmatch(
        rf"error: image\.size: {size} needs about [\d.,]+ GB of memory, and [\d.]+ [GM]B are free "
        r"here; image\.size=(\d+) should fit\.",
        said,
    )
    assert found, done.stderr
    assert 300 < int(found[1]) < 12000
    assert not (tmp_path / "runs").exists()


def test_the_size_that_should_fit_is_let_through(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config("image.size=16000")
    inputs = read(config)
    set_free(monkeypatch, 2 * 10**9)
    with pytest.raises(NotEnoughMemoryError) as caught:
        require_memory(config, inputs)
    (size,) = re.findall(r"image\.size=(\d+) should fit", str(caught.value))
    require_memory(make_config(f"image.size={size}"), inputs)
    assert 1500 < int(size) < 4000


def test_the_largest_whole_picture_is_smaller_and_bands_are_named(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config("image.size=4000", "trainer.memory=plain")
    inputs = read(config)
    set_free(monkeypatch, 2 * 10**9)
    with pytest.raises(
        NotEnoughMemoryError, match=r"trainer\.memory=auto takes far less"
    ) as caught:
        require_memory(config, inputs)
    (size,) = re.findall(r"image\.size=(\d+) should fit", str(caught.value))
    assert 400 < int(size) < 1500


@pytest.mark.parametrize("free", [None, 10**12])
def test_what_may_fit_is_tried(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, free: int | None
) -> None:
    config = make_config("image.size=4000")
    set_free(monkeypatch, free)
    require_memory(config, read(config))


def test_a_search_for_a_rate_is_measured_by_its_own_size(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config("image.size=4000", "tune.size=64")
    set_free(monkeypatch, 10**9)
    require_memory(config, read(config), "tune.size")
    large = make_config("image.size=4000", "tune.size=2000", "trainer.memory=plain")
    with pytest.raises(NotEnoughMemoryError, match=r"tune\.size: 2000 needs .* tune\.size=\d+ "):
        require_memory(large, read(config), "tune.size")


def test_the_history_of_lbfgs_counts(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["image.size=512", "optimizer.lbfgs.history_size=400"]
    set_free(monkeypatch, 10**9)
    for settings, refused in (
        (["schedule.steps=400", "optimizer.name=adam"], False),
        (["schedule.steps=400", "optimizer.name=lbfgs"], True),
        (["schedule.steps=4", "optimizer.name=lbfgs"], False),  # no longer a history than steps
    ):
        config = make_config(*words, *settings, "trainer.precision=32-true")
        if refused:
            with pytest.raises(NotEnoughMemoryError):
                require_memory(config, read(config))
        else:
            require_memory(config, read(config))


def test_where_nothing_fits_other_ways_out_are_named(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config()
    set_free(monkeypatch, 10**6)
    with pytest.raises(NotEnoughMemoryError, match="close other programs") as caught:
        require_memory(config, read(config))
    assert "should fit" not in str(caught.value)


@pytest.mark.parametrize("free", [None, 10**8, 10**12])
def test_a_shortage_against_the_estimate_proposes_a_smaller_size(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, free: int | None
) -> None:
    config = make_config("image.size=512")
    set_free(monkeypatch, free)
    with (
        pytest.raises(NotEnoughMemoryError, match=r"image\.size: .* not enough .* 512;") as caught,
        shortage_told(config, read(config)),
    ):
        raise MemoryError
    sizes = re.findall(r"image\.size=(\d+) should fit", str(caught.value))
    assert all(int(size) <= 384 for size in sizes)
    assert bool(sizes) == (free != 10**8)


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_other_errors_pass(make_config: MakeConfig, error: BaseException) -> None:
    config = make_config()
    with pytest.raises(type(error)), shortage_told(config, read(config)):
        raise error


class RunsOut(pl.Callback):
    """Plays an allocator that has nothing left after a step."""

    def on_train_batch_end(self, *arguments: Any, **options: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.usefixtures("one_thread")
def test_a_run_that_runs_out_of_memory_says_so(make_config: MakeConfig) -> None:
    config = make_config("image.size=64")
    said = r"image\.size: there is not enough memory for 64; image\.size=\d+ should fit\.$"
    with pytest.raises(NotEnoughMemoryError, match=said):
        stylize(config, callbacks=[RunsOut()])
    with pytest.raises(NotEnoughMemoryError, match=said):
        paint(
            config.content.image,
            config.style.images[0],
            f"encoder.weights={config.encoder.weights}",
            "image.size=64",
            "trainer.accelerator=cpu",
            progress=False,
            callbacks=[RunsOut()],
        )


def test_a_search_that_runs_out_of_memory_says_so(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_left(*arguments: object) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("overpaint.tuning.tune.open_workbench", nothing_left)
    with pytest.raises(
        NotEnoughMemoryError, match=r"tune\.size: there is not enough memory for 32"
    ):
        tune(make_config())


# The limit is set between the preparation and the first step, so that PyTorch itself runs into it.
RUNS_OUT_IN_A_STEP = """
import resource, sys
import psutil
import pytorch_lightning as pl
from overpaint.errors import NotEnoughMemoryError
from overpaint.runs.paint import paint

class Limits(pl.Callback):
    def on_train_start(self, *arguments):
        held = psutil.Process().memory_info().vms
        resource.setrlimit(resource.RLIMIT_AS, (held + (8 << 20), resource.RLIM_INFINITY))

try:
    paint(*sys.argv[1:3], *sys.argv[3:], progress=False, callbacks=[Limits()])
except NotEnoughMemoryError as error:
    sys.exit(str(error))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere this limit is not kept")
def test_pytorchs_own_shortage_is_told(photo: Path, painting: Path) -> None:
    words = ["image.size=512", "schedule.scales=[1.0]", "schedule.steps=2"]
    words += ["encoder.name=vgg19_slim", "trainer.accelerator=cpu", "trainer.precision=32-true"]
    done = subprocess.run(
        [sys.executable, "-c", RUNS_OUT_IN_A_STEP, str(photo), str(painting), *words],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "image.size: there is not enough memory for 512; image.size=" in done.stderr


@pytest.mark.parametrize(
    "error", [NotEnoughMemoryError("image.size: no"), MemoryError(), ImportError("out of memory")]
)
def test_a_shortage_is_one_line_and_exit_status_1(
    capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def act(console: object) -> int:
        raise error

    assert status_of(act) == FAILED
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")


def test_a_picture_beside_others_is_told_its_share(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config("image.size=4096")
    set_free(monkeypatch, 10**8)
    monkeypatch.setattr("overpaint.headroom._sharing", Sharing(machine=4))
    told = r"100 MB are free here for each of 4 pictures at a time; "
    with pytest.raises(NotEnoughMemoryError, match=told):
        require_memory(config, read(config))
