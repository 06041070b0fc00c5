"""Requests made up from the API's description, against a real server: it never fails, and answers as it says."""

from pathlib import Path

import pytest
import schemathesis
from apps import serving
from hypothesis import HealthCheck, settings

from service.app import create_app
from service.settings import Settings

ROOT = Path(__file__).parents[2]
KEY = "schemathesis"
CONFIG = {
    "checks": {
        # A deadline that cannot be kept is the client's.
        "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "504"]},
        # Shapes and tolerances are the model's own: what the description allows may still be 422, an unknown model 404.
        "positive_data_acceptance": {"expected-statuses": ["2xx", "404", "413", "422", "429", "504"]},
    },
    "generation": {"database": "none"},
}
EACH = settings(deadline=None, derandomize=True, max_examples=15, suppress_health_check=list(HealthCheck))
"""The same requests each time."""
FRESH = settings(EACH, derandomize=False, max_examples=8)
"""Others each time."""


SERVED = {"models_dir": ROOT / "checkpoints", "models": "odenet-mnist,cnf-two-moons", "max_seconds": 20}
"""The shipped models, for which the examples are."""


@schemathesis.serializer("application/x-npy")
def bytes_of_an_array(ctx, value):
    """Whatever is made up for a binary string: the server reads or refuses it."""
    return value if isinstance(value, bytes) else str(value).encode()


def described(**changes):
    """The API as a server with these settings describes it."""
    document = create_app(Settings(**(SERVED | changes))).openapi()
    config = schemathesis.Config.from_dict(CONFIG)
    return schemathesis.openapi.from_dict(document, config=config)


def started(**changes):
    return serving(**{name.upper(): value for name, value in (SERVED | changes).items()})


@pytest.fixture(scope="module")
def open_server():
    with started() as server:
        yield server.url


@pytest.fixture(scope="module")
def guarded_server():
    with started(api_keys=KEY) as server:
        yield server.url


without_key, with_key = described(), described(api_keys=KEY)


@without_key.parametrize()
@EACH
def test_without_keys_answers_are_as_described(case, open_server):
    case.call_and_validate(base_url=open_server, timeout=60)


@without_key.parametrize()
@FRESH
def test_fresh_requests_are_answered_as_described(case, open_server):
    case.call_and_validate(base_url=open_server, timeout=60)


@with_key.parametrize()
@settings(EACH, max_examples=8)
def test_with_keys_answers_are_as_described(case, guarded_server):
    case.call_and_validate(base_url=guarded_server, timeout=60, headers={"Authorization": f"Bearer {KEY}"})
