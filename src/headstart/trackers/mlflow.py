"""MLflow: a run in the experiment "headstart".

Without MLFLOW_TRACKING_URI it lies in `mlflow.db`, an SQLite file in the working folder, which
`mlflow ui --backend-store-uri sqlite:///mlflow.db` shows (the extra brings the small mlflow-skinny, which
records but does not show; `pip install mlflow` shows too). MLFLOW_EXPERIMENT_NAME is respected.

mlflow-skinny (Apache-2.0) and what its store needs, SQLAlchemy and alembic (MIT), weigh 68 MB with the 28
packages that they bring, and are imported in about eight seconds; a new file takes some seconds more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import MissingExtra
from headstart.scores import Metric, Trials
from headstart.trackers import values
from headstart.types import Epoch

if TYPE_CHECKING:
    from headstart.trackers.watching import How

_EXPERIMENT = "headstart"
_MOST = 100  # parameters in one message, of the REST protocol
# a server that is gone costs a fit half a minute, not the quarter of an hour that mlflow would try
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "15"}
_STATUS = {"done": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


class MLflow:
    """A run of MLflow, through a client of its own: `mlflow.active_run()` is not touched.

    Raises:
        MissingExtra: mlflow, or what its store needs, is not installed.
    """

    def __init__(self) -> None:
        for variable, value in _PATIENCE.items():
            os.environ.setdefault(variable, value)
        # a whole path: mlflow remembers a store by its name, wherever it lay
        here = f"sqlite:///{(Path.cwd() / 'mlflow.db').as_posix()}"
        self._place = os.environ.get("MLFLOW_TRACKING_URI") or here
        try:
            from mlflow.tracking import MlflowClient

            if self._place.startswith("sqlite:"):
                import alembic  # noqa: F401
                import sqlalchemy  # noqa: F401
        except ImportError:
            raise MissingExtra("mlflow with its store", "mlflow") from None
        self._client: Any = MlflowClient
        self._run = ""

    def start(self, name: str, settings: Mapping[str, Any]) -> None:
        """Begin the run; the settings are its parameters."""
        from mlflow.entities import Param

        self._client = self._client(tracking_uri=self._place)
        wanted = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _EXPERIMENT
        found = self._client.get_experiment_by_name(wanted)
        experiment = found.experiment_id if found else self._client.create_experiment(wanted)
        self._run = self._client.create_run(experiment, run_name=name).info.run_id
        params = [Param(key, str(value)) for key, value in settings.items()]
        for i in range(0, len(params), _MOST):
            self._client.log_batch(self._run, params=params[i : i + _MOST])

    def epoch(self, method: str, epoch: Epoch) -> None:
        """Metrics METHOD/NAME, the epoch as their step."""
        self._numbers(values.of_epoch(method, epoch), epoch.epoch)

    def end(self, metrics: Mapping[str, Metric], trials: Trials | None) -> None:
        """Metrics measured/NAME and tried/METHOD; what was kept is a tag."""
        self._numbers(values.of_end(metrics, trials), 0)
        if trials:
            self._client.set_tag(self._run, "kept", values.kept(trials))

    def close(self, how: How) -> None:
        """End the run as FINISHED, FAILED or KILLED."""
        run, self._run = self._run, ""
        if run:
            self._client.set_terminated(run, status=_STATUS[how])

    def _numbers(self, numbers: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric as Number

        now = int(time.time() * 1000)
        made = [Number(name, value, now, step) for name, value in numbers.items()]
        self._client.log_batch(self._run, metrics=made)
