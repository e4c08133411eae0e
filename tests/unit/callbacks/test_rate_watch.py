from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from overpaint.callbacks.rate_watch import RateWatch
from overpaint.losses.objective import LossTerms
from overpaint.optimisation.module import StepReport, StyleTransferModule
from overpaint.optimisation.verdicts import Finding


class FakeModule(StyleTransferModule):
    """A module that is wherever a test wants it to be."""

    def __init__(self, image: Tensor, log_every: int) -> None:
        torch.nn.Module.__init__(self)
        self.image = torch.nn.Parameter(image)
        self._steps, self._log_every = 100, log_every
        self.report = None

    def be_at(self, step: int, loss: float, moved: float) -> None:
        total = torch.tensor([loss])
        terms = LossTerms(total, total, total, {})
        report = StepReport(step, terms, torch.tensor([moved]), rate=0.03, evaluations=step)
        self.report = report if self.is_logged(step) else None


GREY = torch.full((1, 3, 4, 5), 0.5)
BLACK = torch.zeros(1, 3, 4, 5)


def watch(**options: Any) -> tuple[RateWatch, list[Finding]]:
    published: list[Finding] = []
    given = {"rate": 0.03, "last_step": 100, "usual_clamped": 0.0, **options}
    return RateWatch(**given, command="python find.py", publish=published.append), published


def play(
    watching: RateWatch,
    steps: range,
    *,
    image: Tensor = GREY,
    start: Tensor = GREY,
    moved: float = 2.0,
    log_every: int = 1,
    loss: float = 1.0,
    stop: bool = False,
) -> None:
    """One fit in which the loss falls by a percent a step."""
    module: Any = FakeModule(start, log_every)
    trainer: Any = SimpleNamespace(should_stop=stop, global_step=0)
    watching.on_train_start(trainer, module)
    module.image.data = image
    for step in steps:
        module.be_at(step, loss * 0.99**step, moved)
        watching.on_train_batch_end(trainer, module)
    watching.on_train_end(trainer, module)


def test_a_finding_is_one_warning_kept_and_handed_on(caplog: pytest.LogCaptureFixture) -> None:
    watching, published = watch()
    with caplog.at_level(logging.INFO, logger="overpaint"):
        play(watching, range(1, 31), moved=0.1)
    assert [(finding.kind, finding.step) for finding in watching.findings] == [("too_low", 20)]
    assert published == watching.findings
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("WARNING", published[0].message)
    assert "optimizer.lr=0.03:" in published[0].message
    assert "`python find.py`" in published[0].message


def test_each_kind_is_found_once_in_a_run(caplog: pytest.LogCaptureFixture) -> None:
    watching, _ = watch()
    with caplog.at_level(logging.INFO, logger="overpaint"):
        play(watching, range(1, 31), moved=0.1, image=BLACK)
        play(watching, range(31, 61), image=BLACK)
    assert [(f.kind, f.step) for f in watching.findings] == [("too_high", 4), ("too_low", 20)]
    assert len(caplog.records) == 2


def test_a_good_run_is_found_nothing_of(caplog: pytest.LogCaptureFixture) -> None:
    watching, published = watch()
    with caplog.at_level(logging.INFO, logger="overpaint"):
        play(watching, range(1, 101))
    assert watching.findings == published == []
    assert caplog.records == []


def test_steps_between_the_logged_ones_are_not_read() -> None:
    watching, _ = watch()
    play(watching, range(1, 31), moved=0.1, log_every=10)
    assert [finding.step for finding in watching.findings] == [20]


@pytest.mark.parametrize("black", ["start", "usual"])
def test_what_is_black_or_white_from_the_start_or_in_the_inputs_is_usual(black: str) -> None:
    start, usual = (BLACK, 0.0) if black == "start" else (GREY, 0.8)
    watching, _ = watch(usual_clamped=usual)
    play(watching, range(1, 31), start=start, image=BLACK)
    assert watching.findings == []


def test_only_the_start_of_the_run_is_usual() -> None:
    watching, _ = watch()
    play(watching, range(1, 11))
    play(watching, range(11, 21), start=BLACK, image=BLACK)
    assert [finding.kind for finding in watching.findings] == ["too_high"]


def test_losses_of_two_sizes_are_not_compared() -> None:
    watching, _ = watch()
    play(watching, range(1, 11))
    play(watching, range(11, 31), loss=50.0)
    assert watching.findings == []


def test_a_short_first_size_is_judged_at_its_end_and_a_later_one_never() -> None:
    watching, _ = watch()
    play(watching, range(1, 8), moved=0.1)
    assert [(finding.kind, finding.step) for finding in watching.findings] == [("too_low", 7)]
    later, _ = watch()
    play(later, range(1, 8))
    play(later, range(8, 40), moved=0.1)
    assert later.findings == []


def test_a_run_that_diverged_is_not_judged_too() -> None:
    watching, _ = watch()
    play(watching, range(1, 31), moved=0.1, image=BLACK, stop=True)
    assert watching.findings == []
