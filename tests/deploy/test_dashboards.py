"""The dashboards as files: generated, typed, laid out, linked and provisioned as they should be."""

import itertools
import json
import subprocess
import sys

import pytest
import yaml
from live import DEPLOY, ROOT, tool
from needed import missing

GRAFANA = DEPLOY / "grafana"
BOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))


def panels(board):
    return [panel for panel in json.loads(board.read_text())["panels"] if panel["type"] != "row"]


def test_the_committed_dashboards_are_what_the_generator_writes(tmp_path):
    subprocess.run((sys.executable, GRAFANA / "generate.py", tmp_path), check=True, timeout=60)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_text() for path in BOARDS}


@pytest.fixture(scope="module")
def compiler():
    """A folder with Grafana's own types and a TypeScript compiler, fetched once."""
    npm, folder = tool("npm"), GRAFANA / "typecheck"
    if not (folder / "node_modules" / "@grafana" / "schema").is_dir():
        command = (npm, "install", "--no-audit", "--no-fund", "--no-package-lock")
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            missing(f"npm could not fetch Grafana's types: {done.stderr[-500:]}")
    return folder


def typechecked(folder, name, text):
    """What the compiler says of a dashboard."""
    source = folder / f"{name}.ts"
    source.write_text(f"import type {{ Plain }} from './plain.js';\nexport const board: Plain = {text};\n")
    try:
        command = (tool("node", "nodejs"), "node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--skipLibCheck")
        options = ("--module", "nodenext", "--moduleResolution", "nodenext", "--target", "es2022")
        done = subprocess.run(
            (*command, *options, source.name), cwd=folder, capture_output=True, text=True, check=False
        )
    finally:
        source.unlink()
    return done.stdout


@pytest.mark.parametrize("board", BOARDS, ids=lambda path: path.stem)
def test_a_dashboard_has_grafanas_types(compiler, board):
    assert typechecked(compiler, board.stem, board.read_text()) == ""


def test_the_compiler_notices_what_is_wrong(compiler):
    board = json.loads(BOARDS[0].read_text())
    board["panels"][1]["gridPos"] = {"x": 0, "y": "zero", "w": 24, "h": 8}
    assert "error TS2322" in typechecked(compiler, "wrong", json.dumps(board))


@pytest.mark.parametrize("board", BOARDS, ids=lambda path: path.stem)
def test_every_panel_has_a_title_a_description_a_unit_and_a_query(board):
    for panel in panels(board):
        assert panel["title"]
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@pytest.mark.parametrize("board", BOARDS, ids=lambda path: path.stem)
def test_panels_lie_on_the_grid_and_none_on_another(board):
    def cells(panel):
        at = panel["gridPos"]
        return {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}

    placed = json.loads(board.read_text())["panels"]
    for one, other in itertools.combinations(placed, 2):
        assert not cells(one) & cells(other), (one["title"], other["title"])
    assert all(0 <= x < 24 for panel in placed for x, _ in cells(panel))
    rows = {y for panel in placed for _, y in cells(panel)}
    assert rows == set(range(max(rows) + 1))


def test_dashboards_have_uids_of_their_own_and_lead_to_each_other():
    boards = [json.loads(path.read_text()) for path in BOARDS]
    assert len(boards) == len({board["uid"] for board in boards}) == len({board["title"] for board in boards}) == 4
    for board in boards:
        (link,) = board["links"]
        assert (link["type"], link["includeVars"], link["keepTime"]) == ("dashboards", True, True)
        assert set(link["tags"]) <= set(board["tags"])
        assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "model", "tol_class"]


def test_the_data_source_that_is_asked_is_the_one_provisioned():
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    host, port = source["url"].removeprefix("http://").split(":")
    assert compose[host]["image"].startswith("prom/prometheus:")
    assert compose[host]["ports"][0].endswith(f":{port}")
    for board in BOARDS:
        chosen, *_ = json.loads(board.read_text())["templating"]["list"]
        assert (chosen["name"], chosen["current"]["value"]) == ("datasource", source["uid"])
        for panel in panels(board):
            uses = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
            assert all(use == {"type": source["type"], "uid": "${datasource}"} for use in uses)


def test_provisioned_paths_are_those_that_are_mounted():
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/odeserve.yml").read_text())["providers"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    mounted = {}
    for service in compose.values():
        for volume in service.get("volumes", ()):
            source, target, *_ = volume.split(":")
            if source.startswith("."):
                assert (ROOT / source).exists(), source
                mounted[target] = ROOT / source
    assert mounted[provider["options"]["path"]] == GRAFANA / "dashboards"
    assert mounted["/etc/grafana/provisioning"] == GRAFANA / "provisioning"
    home = next(
        line.split("=")[1].strip() for line in (GRAFANA / "grafana.ini").read_text().splitlines() if "home_dash" in line
    )
    folder, name = home.rsplit("/", 1)
    assert (mounted[folder] / name) in BOARDS


def test_prometheus_asks_the_service_where_compose_has_it():
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    job = next(job for job in config["scrape_configs"] if job["job_name"] == "odeserve")
    (found,) = job["dns_sd_configs"]
    (host,) = found["names"]
    named = {name for name, service in compose.items() if host in _aliases(service)}
    assert named == {"service", "replica"}
    assert compose["service"]["ports"][0].endswith(f":{found['port']}")


def _aliases(service):
    networks = service.get("networks", {})
    return networks.get("default", {}).get("aliases", []) if isinstance(networks, dict) else []
