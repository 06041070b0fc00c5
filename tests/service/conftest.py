"""A running app with tiny models, shared by the tests that only ask it questions."""

import pytest
from apps import running_app, serving
from artifacts import CLOUD, DIGITS, tiny_models

from service.settings import Settings


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory, worker_id):
    base = tmp_path_factory.getbasetemp()
    return tiny_models((base if worker_id == "master" else base.parent) / "models")


@pytest.fixture(scope="session")
def worker_id(request):
    """`master` without pytest-xdist, whose own fixture has the same name."""
    return getattr(request.config, "workerinput", {}).get("workerid", "master")


@pytest.fixture(scope="session")
def settings(models_dir):
    return Settings(
        models_dir=models_dir, default_models=(DIGITS, CLOUD), lanes=4, shards=2, max_items=1000, max_body_mb=1
    )


@pytest.fixture(scope="session")
def client(settings):
    with running_app(settings) as client:
        yield client


@pytest.fixture(scope="session")
def server(models_dir):
    """URL of a server with body limit 1 MiB, body time-out 1 s."""
    with serving(MODELS_DIR=models_dir, MAX_BODY_MB=1, BODY_SECONDS=1, LANES=4, DEFAULT_MODELS=CLOUD) as server:
        yield server.url
