"""Scripts that start a Ray: in namespaces of their own, since Ray binds the machine's addresses. What they saw they say
in a line that begins with REPORT."""

import importlib.util
import json
import os
import shutil
import subprocess

from live import ROOT

# Without root: as root of a user namespace of one's own, where that is allowed.
_USER = () if os.geteuid() == 0 else ("--map-root-user",)
SECONDS = 2400
"""Minutes are enough where nobody else is at work; a script ends by itself where something never comes."""


def unshared(*kinds):
    """The command in front of a line for the shell."""
    return ("unshare", *kinds, *_USER, "sh", "-c")


def reason_against(namespaces, setup):
    """Why no Ray can be started in them; None where it can."""
    if importlib.util.find_spec("ray") is None:
        return "Ray is missing (pip install 'odeserve[ray]')"
    if not shutil.which("unshare") or not shutil.which("ip"):
        return "unshare or ip is missing (Debian: apt-get install util-linux iproute2)"
    if subprocess.run((*namespaces, setup), check=False, capture_output=True).returncode:
        return f"{' '.join(namespaces[:-2])} is not allowed here"
    return None


def report_of(namespaces, line):
    """What a script saw that runs in them."""
    done = subprocess.run(
        (*namespaces, line),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    lines = [said.removeprefix("REPORT ") for said in done.stdout.splitlines() if said.startswith("REPORT ")]
    assert lines, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return json.loads(lines[0])
