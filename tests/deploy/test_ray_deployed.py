"""deploy/ray/serve.yaml, as it is, on a Ray of its own, by the commands of the docs, which ray_deployed.py runs.

In namespaces of its own: Ray binds the machine's addresses, the file names folders below /srv, and what was started is
gone with the namespace of its processes.
"""

import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from live import ROOT
from needed import missing

NAMESPACES = (
    *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
    # Without root: as root of a user namespace of one's own, where that is allowed.
    *(() if os.geteuid() == 0 else ("--map-root-user",)),
    *("sh", "-c"),
)
PLACE = " && ".join(
    (
        "ip link set lo up",
        "mount -t tmpfs none /srv",
        "mkdir /srv/checkpoints",
        f"mount --bind {shlex.quote(str(ROOT / 'checkpoints'))} /srv/checkpoints",
    )
)


def reason_against():
    if importlib.util.find_spec("ray") is None:
        return "Ray is missing (pip install 'odeserve[ray]')"
    if not shutil.which("unshare") or not shutil.which("ip"):
        return "unshare or ip is missing (Debian: apt-get install util-linux iproute2)"
    if subprocess.run((*NAMESPACES, PLACE), check=False, capture_output=True).returncode:
        return "no namespaces of networks, mounts and processes can be had here"
    return None


@pytest.fixture(scope="module")
def report():
    reason = reason_against()
    if reason:
        missing(reason)
    script = Path(__file__).with_name("ray_deployed.py")
    done = subprocess.run(
        (*NAMESPACES, f"{PLACE} && exec {shlex.join([sys.executable, str(script)])}"),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        # A minute or two where nobody else is at work; it ends by itself where something never comes.
        timeout=2400,
        check=False,
    )
    lines = [line.removeprefix("REPORT ") for line in done.stdout.splitlines() if line.startswith("REPORT ")]
    assert lines, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return json.loads(lines[0])


def test_what_is_shipped_is_deployed_and_answers(report):
    assert report["asked"] == [200, "7", "0.01"]
    assert report["status"] == "RUNNING"
    assert report["proxies"] == ["HEALTHY"]


def test_load_brings_a_further_replica_and_fails_no_request(report):
    assert (report["before"], report["after"]) == (2, 3)
    # What the engine refuses by predicted work has not failed.
    assert 200 in report["outcomes"]
    assert set(report["outcomes"]) <= {200, 429}
