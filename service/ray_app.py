"""Ray Serve around the same app: each replica is one engine, which Ray starts, watches, scales and stops.

`serve deploy deploy/ray/serve.yaml`, or in Python `serve.run(build({}))`. Needs the extra `ray`.
"""

import os
from pathlib import Path
from typing import Any

# Ray tells its makers how it is used unless told otherwise before it is loaded.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from pydantic import BaseModel, ConfigDict
from ray import serve

from service.replica import ReplicaApp
from service.scrape import TargetFile
from service.settings import read_settings


class Arguments(BaseModel):
    """`args` of the application in serve.yaml. `metrics_targets`: folder of the files by which Prometheus finds the
    replicas; None: they have no port for metrics of their own."""

    model_config = ConfigDict(extra="forbid")

    metrics_targets: Path | None = None


class Replica:
    """One engine and its HTTP side. Settings come from the replica's environment."""

    def __init__(self, metrics_targets: Path | None = None) -> None:
        self._targets = metrics_targets

    def __serve_build_asgi_app__(self) -> ReplicaApp:
        target = None
        if self._targets is not None:
            replica = serve.get_replica_context().replica_id
            name = f"{replica.deployment_id.app_name}-{replica.unique_id}"
            target = TargetFile(self._targets, name, ray.util.get_node_ip_address())
        self._served = ReplicaApp(read_settings(), target)
        return self._served

    async def check_health(self) -> None:
        """Called by Ray every few seconds; a replica that raises is replaced. Errors: ApiError."""
        self._served.check_health()


DEPLOYMENT: Any = serve.deployment(name="Replica")(serve.ingress()(Replica))
"""`.options(...)` as any other of Ray's."""


def build(args: dict[str, Any]) -> Any:
    """The application, for `import_path` in serve.yaml. Errors: pydantic's for arguments that there are not."""
    return DEPLOYMENT.bind(Arguments(**args).metrics_targets)
