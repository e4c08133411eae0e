from __future__ import annotations

import csv
from pathlib import Path

import pytest

from overpaint.tracking import csv as tracking
from overpaint.tracking.csv import CsvLogger


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_metrics_are_rows_with_their_step_first(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    logger = CsvLogger(path)
    logger.log_metrics({"loss/total": 2.5, "optimizer/lr": 0.02}, step=1)
    logger.log_metrics({"loss/total": 1.25, "optimizer/lr": 0.02}, step=10)
    logger.finalize("success")
    assert path.read_text() == "step,loss/total,optimizer/lr\n1,2.5,0.02\n10,1.25,0.02\n"


def test_a_metric_that_comes_late_gets_a_column_and_earlier_rows_a_blank(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    logger = CsvLogger(path)
    logger.log_metrics({"a": 1.5}, step=1)
    logger.save()
    logger.log_metrics({"b": 2.5}, step=2)
    logger.finalize("success")
    assert rows_of(path) == [
        {"step": "1", "a": "1.5", "b": ""},
        {"step": "2", "a": "", "b": "2.5"},
    ]


def test_numbers_keep_the_digits_of_float32(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    logger = CsvLogger(path)
    values = {"third": 1 / 3, "tiny": 1.234567e-30, "count": 1234567.0, "nan": float("nan")}
    logger.log_metrics(values, step=1)
    logger.finalize("success")
    (row,) = rows_of(path)
    assert float(row["third"]) == pytest.approx(1 / 3, rel=1e-6)
    assert float(row["tiny"]) == pytest.approx(1.234567e-30, rel=1e-6)
    assert float(row["count"]) == 1234567
    assert row["nan"] == "nan"


def test_metrics_are_saved_while_running_at_little_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metrics.csv"
    writes = []
    write_text = tracking.write_text

    def counted(target: Path, text: str) -> None:
        writes.append(len(text))
        write_text(target, text)

    monkeypatch.setattr(tracking, "write_text", counted)
    logger = CsvLogger(path)
    for step in range(1, 501):
        logger.log_metrics({"loss/total": 1.0}, step=step)
        logger.save()
        assert len(rows_of(path)) >= step / 1.2
    assert len(writes) < 100
    logger.finalize("success")
    assert [int(row["step"]) for row in rows_of(path)] == list(range(1, 501))


@pytest.mark.parametrize("rows", [0, 3])
def test_finalize_writes_only_what_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    logger = CsvLogger(tmp_path / "metrics.csv")
    for step in range(rows):
        logger.log_metrics({"a": 1.0}, step=step)
        logger.save()
    monkeypatch.setattr(tracking, "write_text", lambda *args: pytest.fail("written again"))
    logger.finalize("success")


def test_a_full_disk_costs_one_warning_and_not_the_last_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "metrics.csv"
    logger = CsvLogger(path)
    logger.log_metrics({"a": 1.5}, step=1)
    logger.save()
    write = Path.write_bytes

    def breaks_off(target: Path, data: bytes) -> int:
        write(target, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", breaks_off)
        for step in (2, 3):
            logger.log_metrics({"a": 2.0}, step=step)
            logger.save()
    assert path.read_text() == "step,a\n1,1.5\n"
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["metrics.csv"]
    told = f"'{path}': cannot be written (No space left on device). The run goes on."
    assert caplog.messages == [told]

    logger.finalize("success")  # there is room again
    assert path.read_text() == "step,a\n1,1.5\n2,2\n3,2\n"


def test_a_run_that_goes_on_keeps_its_rows_and_drops_later_ones(tmp_path: Path) -> None:
    path, rows = tmp_path / "metrics.csv", {1: 0.1, 2: 1 / 3, 4: 1e-9}
    whole = CsvLogger(path)
    for step, loss in rows.items():
        whole.log_metrics({"loss/total": loss}, step=step)
    whole.finalize("success")
    expected = path.read_text()
    again = CsvLogger(path, [{"step": 1, "loss/total": 0.1}, {"step": 2, "loss/total": 1 / 3}])
    again.log_metrics({"loss/total": 1e-9}, step=4)
    again.save()
    assert path.read_text() == expected
