"""``manypose evaluate --analyze --serve``: the error analysis on the web page."""

from pathlib import Path
from tempfile import TemporaryDirectory

from manypose.evaluation.evaluate import Evaluation
from manypose.serve.analysis_view import AnalysisView
from manypose.serve.app import service
from manypose.serve.command import run
from manypose.serve.guard import LOOPBACK

__all__ = ["show"]


def show(evaluation: Evaluation, port: int = 0) -> int:
    """Serve an evaluation's errors on the loopback address until stopped, and return the evaluation's exit code."""
    if evaluation.analysis is not None:  # only the first process has an analysis
        view = AnalysisView(evaluation.analysis, evaluation.files, evaluation.figures, evaluation.protocol)
        with TemporaryDirectory() as nothing:
            run(service({}, hosts=LOOPBACK, jobs=Path(nothing), analysis=view), LOOPBACK[1], port)
    return evaluation.exit_code
