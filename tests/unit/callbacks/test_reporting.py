from __future__ import annotations

from fits import MakeModule, Trace, fit

from overpaint.callbacks.reporting import ReportLoss


def test_the_loss_of_each_logged_step_is_reported(make_module: MakeModule) -> None:
    told: list[tuple[int, float]] = []
    report = ReportLoss("total", lambda count, loss: told.append((count, loss)) is None)
    trace = Trace()
    module = make_module(steps=7, log_every=3)
    fit(module, 7, report, trace)
    assert [count for count, _ in told] == [1, 2, 3, 4]  # steps 1, 3, 6 and 7
    expected = [float(module(trace.images[step - 1]).total.detach()) for step in (3, 6, 7)]
    assert [loss for _, loss in told[1:]] == expected
    assert report.stopped_at is None
    assert max(trace.images) == 7


def test_a_run_ends_after_the_step_at_which_it_is_told_to(make_module: MakeModule) -> None:
    report = ReportLoss("style/relu1_1", lambda count, loss: count < 2)
    trace = Trace()
    fit(make_module(steps=9, log_every=2), 9, report, trace)
    assert report.stopped_at == 2
    assert max(trace.images) == 2


def test_a_loss_that_there_is_not_is_not_reported(make_module: MakeModule) -> None:
    told: list[int] = []
    report = ReportLoss("tv", lambda count, loss: told.append(count) is None)
    fit(make_module(steps=3), 3, report)
    assert told == []


def test_counting_goes_on_after_a_checkpoint(make_module: MakeModule) -> None:
    told: list[int] = []
    report = ReportLoss("total", lambda count, loss: told.append(count) is None)
    fit(make_module(steps=2), 2, report)
    later = ReportLoss("total", lambda count, loss: told.append(count) is None)
    later.load_state_dict(report.state_dict())
    fit(make_module(steps=1), 1, later)
    assert told == [1, 2, 3]
