from __future__ import annotations

import pytest
from pytorch_lightning.utilities import rank_zero_only

from overpaint.optimisation.fit import as_rank


@pytest.mark.parametrize("rank", [0, 1, 7])
def test_a_process_that_lightning_takes_for_another_rank_logs_and_is_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    # So it is where SLURM_PROCID, RANK or LOCAL_RANK is set as Lightning is imported.
    monkeypatch.setattr(rank_zero_only, "rank", rank)
    logged: list[str] = []
    log = rank_zero_only(logged.append)
    log("outside")
    with as_rank(0):
        log("inside")
    assert logged == (["outside", "inside"] if rank == 0 else ["inside"])
    assert rank_zero_only.rank == rank
