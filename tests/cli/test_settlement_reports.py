"""What `paygate settle --report` takes for a report."""

import os
from pathlib import Path

import pytest
import typer

from paygate.cli.settlement_reports import ReportGiven, _report
from paygate.domain.settlements.report_import import ReportFormat


def test_a_pipe_is_no_report(tmp_path: Path) -> None:
    """It would be waited for, and is empty when it is read once more."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for each in (pipe, Path("/dev/zero"), tmp_path):
        with pytest.raises(typer.BadParameter, match="it is no file"):
            _report(ReportGiven(each, ReportFormat.STRIPE_ITEMIZED, None))
    with pytest.raises(typer.BadParameter, match="No such file"):
        _report(ReportGiven(tmp_path / "none.csv", ReportFormat.STRIPE_ITEMIZED, None))
