from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY
from safetensors.torch import load_file, save_file

from overpaint.encoder.layers import CONVOLUTIONS
from overpaint.encoder.packed import read_packed
from overpaint.encoder.weights import load_weights
from overpaint.files import file_sha256

SCRIPT = REPOSITORY / "scripts/development/encoders/pack.py"


def packing(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.slow
def test_packing_runs_as_a_script_and_loses_nothing_of_few_values(
    vgg_file: Path, tmp_path: Path
) -> None:
    state = {}
    for name, value in load_file(vgg_file).items():
        step = value.float().std() / 8 if name.endswith("weight") else 1
        state[name] = ((value / step).round().clamp(-99, 99) * step).half()
    source, path = tmp_path / "source.safetensors", tmp_path / "new" / "packed.safetensors"
    save_file(state, source)
    done = packing("--weights", str(source), "--output", str(path), "--edge", "32")
    assert done.returncode == 0, done.stderr
    assert "features: relu1_1 0.0000" in done.stderr
    _, info = read_packed(path)
    assert info.source_sha256 == file_sha256(source)
    assert info.making["edge"] == 32
    expected = load_weights(str(source), CONVOLUTIONS).tensors
    for name, value in load_weights(str(path), CONVOLUTIONS).tensors.items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-6)


def test_what_cannot_be_packed_is_refused_in_one_line(tmp_path: Path) -> None:
    done = packing("--weights", "missing.pth", "--output", str(tmp_path / "a.safetensors"))
    assert done.returncode == 1
    assert done.stderr == "error: encoder.weights: no such file: 'missing.pth'.\n"
    done = packing("--weights", "missing.pth", "--output", "packed.pth")
    assert done.returncode == 2
    assert "'packed.pth' must end in .safetensors" in done.stderr
