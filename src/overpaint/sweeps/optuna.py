"""`bayes`: each point follows from how the ones before did, by Optuna.

The study is a journal in the sweep's folder, so that a search that was stopped or killed goes on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState

from overpaint.callbacks.reporting import ReportLoss
from overpaint.sweeps.distributions import Choice
from overpaint.sweeps.plan import Plan
from overpaint.sweeps.reading import Metric, Sweep
from overpaint.sweeps.spaces import Point, Space
from overpaint.sweeps.trials import Outcome, Status, Trial

_ENDED: dict[TrialState, Status] = {
    TrialState.COMPLETE: "done",
    TrialState.PRUNED: "stopped early",
}


class Search:
    """A search that goes on where its journal ends.

    Args:
        plan: of a sweep by `bayes`.
        folder: of the sweep.
        reports: logged steps of a trial.
    """

    def __init__(self, plan: Plan, folder: Path, *, reports: int) -> None:
        assert plan.sweep.metric is not None
        assert plan.limit is not None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._metric: Metric = plan.sweep.metric
        self._space: Space = plan.sweep.space
        self._limit, self._seed, self._folder = plan.limit, plan.seed, folder
        journal = str(folder / "optuna.log")
        lock = JournalFileOpenLock(journal)  # its usual one needs links, which not every disk has
        self._study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(journal, lock_obj=lock)),
            study_name="sweep",
            direction=self._metric.goal,
            pruner=_pruner(plan.sweep, reports),
            load_if_exists=True,
        )

    def trials(self) -> Iterator[Trial]:
        """Those that were, those that were broken off, then new ones up to the limit.

        After each that is not `ended` comes a call of `tell`. One that failed is gone: a new one
        takes its place.
        """
        count = 0
        for frozen in self._study.get_trials(deepcopy=False):
            if frozen.state == TrialState.FAIL:
                continue
            count += 1
            self._seed_for(frozen.number)
            asked = optuna.trial.Trial(self._study, frozen._trial_id)
            yield self._trial(asked, _ENDED.get(frozen.state))
        while count < self._limit:
            count += 1
            self._seed_for(len(self._study.get_trials(deepcopy=False)))
            yield self._trial(self._study.ask(), None)

    def tell(self, outcome: Outcome) -> None:
        """How a trial did; one that was interrupted stays open."""
        if outcome.trial.ended is not None or outcome.status == "interrupted":
            return
        number = outcome.trial.number - 1
        if outcome.status == "stopped early":
            self._study.tell(number, state=TrialState.PRUNED)
        elif outcome.status == "diverged":  # as bad as can be, so that the search keeps away
            worst = math.inf if self._metric.goal == "minimize" else -math.inf
            self._study.tell(number, worst)
        elif (value := self._value(outcome)) is None:
            self._study.tell(number, state=TrialState.FAIL)
        else:
            self._study.tell(number, value)

    def _seed_for(self, number: int) -> None:
        """Lets a draw depend on the trials before it, not on how often the search was stopped."""
        self._study.sampler = TPESampler(seed=self._seed + number)

    def _trial(self, asked: optuna.trial.Trial, ended: Status | None) -> Trial:
        number = asked.number + 1

        known = self._study.get_trials(deepcopy=False)[asked.number].intermediate_values

        def tell(count: int, loss: float) -> bool:
            if not math.isfinite(loss):
                return True
            if count not in known:  # a run that began again reports again
                asked.report(loss, count)
            return not asked.should_prune()

        return Trial(
            number,
            _point(asked, self._space),
            self._folder / f"{number:03d}",
            report=ReportLoss(self._metric.loss, tell),
            ended=ended,
        )

    def _value(self, outcome: Outcome) -> float | None:
        """What the metric is for a trial that is done; None if it has none."""
        value: Any = outcome.facts.get("losses", {}).get(self._metric.loss)
        if self._metric.name.startswith("loss/"):
            frozen = self._study.get_trials(deepcopy=False)[outcome.trial.number - 1]
            last = frozen.last_step
            value = None if last is None else frozen.intermediate_values[last]
        is_number = isinstance(value, int | float) and math.isfinite(value)
        return float(value) if is_number and outcome.status == "done" else None


def _point(asked: optuna.trial.Trial, space: Space) -> Point:
    """The values of a trial: choices by their number, ranges by the place between their ends."""
    point: dict[str, Any] = {}
    for key, one in space.items():
        if not isinstance(one, Choice):
            point[key] = one.at(asked.suggest_float(key, 0.0, 1.0))
        elif len(one.values) == 1:
            point[key] = one.values[0]
        else:
            point[key] = one.values[asked.suggest_categorical(key, range(len(one.values)))]
    return point


def _pruner(sweep: Sweep, reports: int) -> BasePruner:
    rule = sweep.early_terminate
    if rule is None:
        return NopPruner()
    return HyperbandPruner(
        min_resource=rule.first,
        max_resource=max(rule.first, min(rule.last or reports, reports)),
        reduction_factor=rule.factor,
    )
