"""Which process of a run this is, by what torchrun, Slurm or a person says."""

from __future__ import annotations

import pytest

from overpaint.errors import ConfigError
from overpaint.processes.places import Place, as_text, find_place, place_from_text

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none",
    "RANK": "5",
    "LOCAL_RANK": "1",
    "GROUP_RANK": "1",
    "WORLD_SIZE": "8",
    "MASTER_ADDR": "one",
    "MASTER_PORT": "29500",
}
SLURM = {
    "SLURM_NTASKS": "8",
    "SLURM_NTASKS_PER_NODE": "4",
    "SLURM_NNODES": "2",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_JOB_ID": "77",
    "SLURM_NODELIST": "host[3-4]",
    "MASTER_ADDR": "host3",  # else Lightning writes both into the environment
    "MASTER_PORT": "15077",
}


def told(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name in {*TORCHRUN, *SLURM, "NODE_RANK", "SLURM_JOB_NAME"}:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_a_process_that_nobody_started_starts_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, {})
    assert find_place(3, 1) == Place(devices=3, starts_others=True)


@pytest.mark.parametrize("variables", [{}, TORCHRUN, SLURM], ids=["alone", "torchrun", "slurm"])
def test_a_run_of_one_process_is_alone_inside_any_job(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    told(monkeypatch, variables)
    assert find_place(1, 1) == Place()


@pytest.mark.parametrize(
    ("variables", "address"), [(TORCHRUN, "one:29500"), (SLURM, "host3:15077")]
)
def test_torchrun_and_slurm_say_which_one_it_is(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], address: str
) -> None:
    told(monkeypatch, variables)
    place = find_place(4, 2)
    assert place == Place(5, 1, 4, 2, address, starts_others=False)
    assert not place.is_first
    assert place_from_text(as_text(place)) == place


def test_a_job_of_one_task_starts_the_others_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, {**SLURM, "SLURM_NTASKS": "1", "SLURM_NTASKS_PER_NODE": "1"})
    assert find_place(2, 1).starts_others


def test_each_machine_has_a_process_that_starts_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, {"NODE_RANK": "1", "MASTER_ADDR": "one", "MASTER_PORT": "29500"})
    assert find_place(4, 2) == Place(4, 0, 4, 2, "one:29500", starts_others=True)


@pytest.mark.parametrize(
    ("variables", "devices", "nodes", "message"),
    [
        (TORCHRUN, 2, 1, "does not match the world size"),
        (SLURM, 2, 2, "ntasks-per-node=4"),
        ({"LOCAL_RANK": "3"}, 2, 1, "start as many as the settings ask for"),
        ({"NODE_RANK": "1"}, 2, 2, "NODE_RANK, MASTER_ADDR and MASTER_PORT"),
    ],
)
def test_other_processes_than_the_settings_ask_for_are_refused(
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    devices: int,
    nodes: int,
    message: str,
) -> None:
    told(monkeypatch, variables)
    with pytest.raises(ConfigError, match=message):
        find_place(devices, nodes)
