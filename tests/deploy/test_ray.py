"""Two nodes of a real Ray, and what clients notice when a replica and then a node is killed under load.

All of it in a network namespace, since Ray binds the machine's addresses: ray_drill.py is what runs there.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from live import DEPLOY, ROOT
from namespaces import reason_against, report_of, unshared
from needed import missing
from under_way import Book

DEPLOYED = yaml.safe_load((DEPLOY / "ray" / "serve.yaml").read_text())
APPLICATION = DEPLOYED["applications"][0]
VARIABLES = APPLICATION["runtime_env"]["env_vars"]
(DEPLOYMENT,) = APPLICATION["deployments"]


NAMESPACE, SETUP = unshared("--net"), "ip link set lo up"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """What the drill saw."""
    reason = reason_against(NAMESPACE, SETUP)
    if reason:
        missing(reason)
    targets = tmp_path_factory.mktemp("ray") / "targets"
    script = Path(__file__).with_name("ray_drill.py")
    return report_of(NAMESPACE, f"{SETUP} && exec {sys.executable} {script} {targets}")


def test_each_request_has_its_own_tolerance_and_the_headers_of_the_service(report):
    asked = report["asked"]
    for tol in ("1e-1", "1e-4"):
        one = asked[tol]
        assert (one["status"], one["label"], one["rtol"]) == (200, "7", float(tol))
        assert (int(one["X-NFE"]), float(one["X-Tol"])) == (one["nfe"], float(tol))
        assert one["ids"] == [f"mine-{tol}"]
        assert one["timed"]
    assert asked["1e-1"]["nfe"] < asked["1e-4"]["nfe"]
    assert asked["ids"] == 1


def test_errors_are_those_of_the_service(report):
    assert report["asked"]["wrong"] == {
        "tolerance": [422, "invalid_input"],
        "model": [404, "unknown_model"],
        "path": [404, "not_found"],
        "method": [405, "method_not_allowed"],
        "media": [415, "unsupported_media_type"],
        "late": [504, "deadline"],
        "large": [413, "too_large"],
    }


def test_pictures_lines_pages_and_the_other_protocol_come_through(report):
    asked = report["asked"]
    assert asked["picture"] == "7"
    assert asked["lines"] == ["application/x-ndjson", 3]
    assert asked["page"].startswith("text/html")
    assert asked["v2"] == [200, "cnf-two-moons"]
    assert asked["v2 wrong"].keys() == {"error"}


def test_each_replica_has_metrics_on_a_port_of_its_own(report):
    assert len(set(report["targets"])) == 2
    # Both were asked, and both counted.
    assert all(count > 0 for count in report["shared"])


def test_a_client_that_leaves_frees_its_lanes(report):
    assert report["left"]["cancelled"] == 1


def costs_only_what_it_held(killed):
    assert killed["held"] > 0
    assert sum(killed["failed"].values()) <= killed["held"]
    # There was somebody else's to lose, and it was not lost.
    assert killed["elsewhere"] > 0
    assert killed["failed_elsewhere"] == {}
    assert killed["failed_later"] == {}
    assert killed["answered_later"] > 50


def test_a_killed_replica_costs_at_most_what_it_had_under_way(report):
    costs_only_what_it_held(report["replica"])


def test_a_killed_node_costs_at_most_what_it_had_under_way(report):
    costs_only_what_it_held(report["node"])


@pytest.mark.parametrize(("ended", "outcome"), [(11.0, "500"), (10.5, "ReadError")])
def test_a_failure_of_somebody_else_would_be_seen(ended, outcome):
    """Of three requests under way at the time of a kill the victim held one."""
    book = Book()
    held, other, third = (book.begin(now=9.0) for _ in range(3))
    book.end(held, "500", now=11.0)
    book.end(third, "200", now=10.5)
    book.end(other, outcome, now=ended)
    for k in range(60):
        book.end(book.begin(now=12.0 + k), "200", now=12.5 + k)
    seen = book.after_kill(10.0, {held}, 1000.0)
    assert seen | {"failed_elsewhere": {}} == {
        "held": 1,
        "failed": {"500": 1},
        "elsewhere": 2,
        "failed_elsewhere": {},
        "failed_later": {},
        "answered_later": 60,
    }
    with pytest.raises(AssertionError):
        costs_only_what_it_held(seen)
    costs_only_what_it_held(book.after_kill(10.0, {held, other}, 1000.0))


def test_thirty_seconds_later_nothing_fails_and_every_request_has_ended(report):
    assert report["ended"]
    assert report["after"]["failed"] == {}
    assert report["after"]["answered"] > 20


def test_a_request_under_way_ends_before_its_replica_does(report):
    assert report["graceful"] == [200]
    assert report["targets_left"] == 0


# Ray's own.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_deployed_file_is_what_ray_understands():
    if importlib.util.find_spec("ray") is None:
        missing("Ray is missing (pip install 'odeserve[ray]')")
    schema = importlib.import_module("ray.serve.schema")
    read = schema.ServeDeploySchema.model_validate(DEPLOYED)
    (application,) = read.applications
    assert application.import_path == "service.ray_app:build"
    assert [one.name for one in application.deployments] == ["Replica"]


def test_the_deployed_file_suits_the_service():
    from service.settings import Settings

    settings = Settings(
        **{name.removeprefix("ODESERVE_").lower(): v for name, v in VARIABLES.items() if name.startswith("ODESERVE_")}
    )
    assert settings.shards == DEPLOYMENT["ray_actor_options"]["num_cpus"]
    # Neither Ray's proxy nor a shutdown ends a request that the engine still works at.
    assert DEPLOYED["http_options"]["request_timeout_s"] > settings.max_seconds
    assert DEPLOYMENT["graceful_shutdown_timeout_s"] > settings.max_seconds
    assert DEPLOYMENT["max_ongoing_requests"] > 10 * DEPLOYMENT["autoscaling_config"]["target_ongoing_requests"]
    assert VARIABLES["RAY_USAGE_STATS_ENABLED"] == "0"


def test_the_service_alone_never_loads_ray():
    code = "import sys, service.cli, service.serve, service.replica; assert 'ray' not in sys.modules"
    subprocess.run((sys.executable, "-c", code), cwd=ROOT, check=True)
