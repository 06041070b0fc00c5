"""What continuous integration runs: there nothing that a test needs may be missing without notice."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from needed import missing

ROOT = Path(__file__).parents[1]
BESIDE = ("prometheus", "promtool", "haproxy", "ip", "npm", "chromium", "curl", "openssl", "unshare")


@pytest.mark.parametrize(("given", "seen"), [(None, "true"), ("1", "1")])
def test_it_says_to_the_tests_that_it_is_continuous_integration(given, seen, tmp_path):
    shutil.copytree(ROOT / ".ci", tmp_path / "checkout" / ".ci")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("make", *BESIDE):
        (programs / name).write_text('#!/bin/sh\necho "$(basename "$0") $* CI=$CI"\n')
        (programs / name).chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment |= {"PATH": f"{programs}:{os.environ['PATH']}"} | ({} if given is None else {"CI": given})
    command = (tmp_path / "checkout" / ".ci" / "run",)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"make test CI={seen}"]


def test_what_is_missing_fails_there_and_is_skipped_elsewhere(monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(AssertionError, match="a tool is missing"):
        missing("a tool is missing")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="a tool is missing"):
        missing("a tool is missing")


def test_tests_skip_for_nothing_else_than_what_may_be_missing():
    """Data sets; a GPU, or its absence; a float32 graph at a tolerance that it does not have."""
    allowed = {"needed.py", "conftest.py", "test_protein.py", "test_backends.py", "test_export.py", Path(__file__).name}
    words = ("pytest.skip(", "importorskip(", "mark.skip")
    found = {path.name for path in (ROOT / "tests").rglob("*.py") if any(word in path.read_text() for word in words)}
    assert found <= allowed
