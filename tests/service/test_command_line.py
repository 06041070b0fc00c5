"""The server's own commands: settings, artifacts, versions, and what starting one of them loads."""

import json
import shutil
import subprocess
import sys
from importlib.metadata import version

import pytest
from apps import ODESERVE, environment
from artifacts import CLOUD

from service.settings import SECRET, Settings, Unit

SECRETS = "key-of-alice,key-of-bob"


def odeserve(*words, width=120, **variables):
    return subprocess.run(
        [ODESERVE, *map(str, words)],
        env=environment(**variables) | {"COLUMNS": str(width)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_version_is_that_of_the_package():
    done = odeserve("--version")
    assert done.returncode == 0
    assert done.stdout.startswith(f"odeserve {version('odeserve')} (")


@pytest.mark.parametrize("command", [("--help",), ("serve", "--help"), ("classify", "--help"), ("--version",)])
def test_help_waits_for_nothing_that_is_large(command):
    code = f"""
import sys
from service.cli import app
try:
    app({list(command)!r})
except SystemExit as end:
    assert end.code == 0
large = {{"numpy", "fastapi", "onnxruntime", "httpx", "torch", "PIL"}} & set(sys.modules)
assert not large, large
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_server_does_not_load_what_only_clients_need():
    code = "import sys, service.serve; assert not {'httpx', 'rich', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)


def told(*words, **variables):
    done = odeserve("serve", "--print-config", "--json", *words, **variables)
    assert done.returncode == 0, done.stderr
    return {entry["name"]: entry for entry in json.loads(done.stdout)["settings"]}


def test_every_setting_is_told_with_value_source_unit_and_meaning():
    settings = told("--port", "9000", QUEUE_SECONDS=2.5, MODELS="a,b@2")
    assert {name for name in settings if name.startswith("ODESERVE_")} == {
        f"ODESERVE_{name.upper()}" for name in Settings.model_fields
    }
    assert all(entry["meaning"] for entry in settings.values())
    assert settings["ODESERVE_QUEUE_SECONDS"] == {
        "name": "ODESERVE_QUEUE_SECONDS",
        "value": 2.5,
        "source": "environment",
        "unit": "s",
        "meaning": Settings.model_fields["queue_seconds"].description,
    }
    assert settings["ODESERVE_MODELS"]["value"] == ["a", "b@2"]
    assert {entry["source"] for name, entry in settings.items() if name.startswith("ODESERVE_MAX")} == {"default"}
    assert (settings["--port"]["value"], settings["--port"]["source"]) == (9000, "option")
    assert (settings["--host"]["value"], settings["--host"]["source"]) == ("127.0.0.1", "default")


def test_every_number_among_the_settings_has_a_unit():
    for name, field in Settings.model_fields.items():
        counts = field.annotation in (int, float, int | None)
        assert counts == any(isinstance(mark, Unit) for mark in field.metadata), name


@pytest.mark.parametrize("width", [60, 120])
def test_settings_are_shown_without_secrets_and_nothing_is_served(width):
    done = odeserve("serve", "--print-config", width=width, API_KEYS=SECRETS, MODELS_DIR="/there/is/no/such/folder")
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= width
    assert "/there/is/no/such/folder" in done.stdout.replace("\n", "")
    assert "***,***" in done.stdout
    assert told(API_KEYS=SECRETS)["ODESERVE_API_KEYS"]["value"] == ["***", "***"]
    for shown in (done.stdout, json.dumps(told(API_KEYS=SECRETS))):
        assert not any(secret in shown for secret in SECRETS.split(","))
    assert {"api_keys"} == SECRET


def test_a_wrong_setting_ends_with_its_name():
    for variables, name in (({"COLOUR": "red"}, "ODESERVE_COLOUR"), ({"SHARDS": 0}, "ODESERVE_SHARDS")):
        done = odeserve("serve", "--print-config", **variables)
        assert done.returncode == 1
        assert name in done.stderr
        assert done.stdout == ""
    assert odeserve("serve", "--json").returncode == 2


def test_a_clients_variables_do_not_keep_a_server_from_its_settings():
    done = subprocess.run(
        [ODESERVE, "serve", "--print-config"],
        env=environment() | {"ODECLIENT_URL": "http://x", "ODECLIENT_API_KEY": "secret"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "secret" not in done.stdout


def test_artifacts_on_disk_are_listed_with_their_tolerances(models_dir):
    done = odeserve("models", "--json", MODELS_DIR=models_dir)
    listed = {entry["name"]: entry for entry in json.loads(done.stdout)["models"]}
    assert listed[CLOUD]["path"] == str(models_dir / CLOUD / "1")
    assert listed[CLOUD]["programs"]["log_density"] == {
        "methods": ["bosh3"],
        "tol": {"tightest": 1e-4, "loosest": 1e-1, "default": 1e-2},
    }
    for width in (60, 120):
        shown = odeserve("models", width=width, MODELS_DIR=models_dir).stdout
        assert max(map(len, shown.splitlines())) <= width
        assert f"{CLOUD}@1" in shown
        assert "0.0001 to 0.1" in shown
    nothing = odeserve("models", MODELS_DIR=models_dir / CLOUD)
    assert (nothing.returncode, nothing.stdout) == (1, "")


def test_a_check_is_told_as_json_whether_all_is_well_or_not(models_dir, tmp_path):
    done = odeserve("check", "--json", models_dir / CLOUD / "1")
    found = json.loads(done.stdout)
    assert (done.returncode, found["whole"], found["problems"]) == (0, True, [])
    assert any("solves at tol" in line for line in found["checks"])
    shutil.copytree(models_dir / CLOUD, tmp_path / CLOUD)
    graph = tmp_path / CLOUD / "1" / "onnx" / "log_density" / "start.onnx"
    graph.write_bytes(graph.read_bytes() + b"x")
    done = odeserve("check", "--json", tmp_path / CLOUD / "1")
    found = json.loads(done.stdout)
    assert (done.returncode, found["whole"]) == (1, False)
    assert "start.onnx: sha256" in found["problems"][0]
    assert "start.onnx: sha256" in done.stderr
