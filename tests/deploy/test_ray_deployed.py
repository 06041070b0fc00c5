"""deploy/ray/serve.yaml, as it is, on a Ray of its own, by the commands of the docs, which ray_deployed.py runs.

In namespaces of its own: Ray binds the machine's addresses, the file names folders below /srv, and what was started is
gone with the namespace of its processes.
"""

import shlex
import sys
from pathlib import Path

import pytest
from live import ROOT
from namespaces import reason_against, report_of, unshared
from needed import missing

NAMESPACES = unshared("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
PLACE = " && ".join(
    (
        "ip link set lo up",
        "mount -t tmpfs none /srv",
        "mkdir /srv/checkpoints",
        f"mount --bind {shlex.quote(str(ROOT / 'checkpoints'))} /srv/checkpoints",
    )
)


@pytest.fixture(scope="module")
def report():
    reason = reason_against(NAMESPACES, PLACE)
    if reason:
        missing(reason)
    script = Path(__file__).with_name("ray_deployed.py")
    return report_of(NAMESPACES, f"{PLACE} && exec {shlex.join([sys.executable, str(script)])}")


def test_what_is_shipped_is_deployed_and_answers(report):
    assert report["asked"] == [200, "7", "0.01"]
    assert report["status"] == "RUNNING"
    assert report["proxies"] == ["HEALTHY"]


def test_load_brings_a_further_replica_and_fails_no_request(report):
    assert (report["before"], report["after"]) == (2, 3)
    # What the engine refuses by predicted work has not failed.
    assert 200 in report["outcomes"]
    assert set(report["outcomes"]) <= {200, 429}
