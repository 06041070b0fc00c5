"""`odeserve classify` and the others, in processes of their own, against a real server and against none."""

import csv
import io
import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import numpy as np
import pytest
from apps import ODESERVE, environment, serving
from artifacts import CLOUD, SPRING
from drawings import encoded, npy, seven
from PIL import Image

ROOT = Path(__file__).parents[2]
DIGIT, FLOW = "odenet-mnist", "cnf-two-moons"
SEVEN, PICTURE, PHOTO = (ROOT / "examples" / path for path in ("digits/7.json", "pictures/7.png", "pictures/4.jpg"))
KEY = "key-of-alice"
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def url():
    with serving(MODELS_DIR=ROOT / "checkpoints", MODELS=f"{DIGIT},{FLOW}", LANES=8, MAX_ITEMS=10_000) as server:
        yield server.url


@pytest.fixture(scope="module")
def keyed(models_dir):
    """A server with a key, and a model of somebody's own."""
    with serving(MODELS_DIR=models_dir, LANES=4, DEFAULT_MODELS=f"{CLOUD},{SPRING}", API_KEYS=KEY) as server:
        yield server.url


def odeserve(*words, stdin=None, width=120, **variables):
    """What a command came to; nothing it prints is wider than the terminal, or coloured where there is none."""
    done = subprocess.run(
        [ODESERVE, *map(str, words)],
        input=stdin,
        env=environment() | {"COLUMNS": str(width)} | variables,
        cwd=ROOT,
        capture_output=True,
        timeout=120,
        check=False,
    )
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    return done


def printed(*words, **how):
    done = odeserve(*words, **how)
    assert done.returncode == 0, done.stderr
    return done.stdout


def table_in(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def untimed(answer):
    """All that must be the same whenever it is asked."""
    return {name: value for name, value in answer.items() if name != "timing_ms"}


def asked(url, path, body, **query):
    return untimed(httpx.post(f"{url}{path}", content=body, params=query, timeout=60).raise_for_status().json())


@pytest.mark.parametrize("tol", ["1e-1", "1e-5", "auto"])
def test_classify_prints_the_answer_of_the_api(url, tol):
    found = json.loads(printed("classify", "--json", "--url", url, "--tol", tol, SEVEN))
    assert untimed(found) == asked(url, "/classify", SEVEN.read_bytes(), tol=tol)


def test_every_option_of_a_solve_reaches_the_server(url):
    given = {"model": f"{DIGIT}@1", "tol": "1e-4", "max_tol": "0.01", "method": "tsit5", "max_nfe": "500"}
    options = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value)]
    done = odeserve("classify", "--json", "--url", url, *options, "--deadline-ms", "30000", "--partial", SEVEN)
    assert untimed(json.loads(done.stdout)) == asked(
        url, "/classify", SEVEN.read_bytes(), **given, deadline_ms="30000", partial="true"
    )


@pytest.mark.parametrize("width", [60, 120])
def test_pictures_of_every_kind_get_their_labels_in_a_table(url, tmp_path, width):
    images = [json.loads((ROOT / f"examples/digits/{digit}.json").read_text())["image"] for digit in (3, 5)]
    (tmp_path / "two.npy").write_bytes(npy(np.array(images)))
    out = tmp_path / "labels.csv"
    shown = printed("classify", "--url", url, "--out", out, PICTURE, PHOTO, tmp_path / "two.npy", SEVEN, width=width)
    assert max(map(len, shown.splitlines())) <= width
    lines = shown.splitlines()[2:]
    assert len(lines) == 5
    rows = table_in(out)
    assert [row["label"] for row in rows] == ["7", "4", "3", "5", "7"]
    assert [row["item"] for row in rows] == ["7.png", "4.jpg", "two.npy#0", "two.npy#1", "7.json"]
    assert all(sum(float(row[f"probability_{index}"]) for index in range(10)) == pytest.approx(1) for row in rows)
    assert [line.split()[:2] for line in lines] == [[row["item"], row["label"]] for row in rows]


@pytest.mark.parametrize("width", [60, 120])
def test_one_picture_is_shown_with_all_its_probabilities_and_tries(url, width):
    shown = printed("classify", "--url", url, "--tol", "auto", PICTURE, width=width)
    assert max(map(len, shown.splitlines())) <= width
    assert "7.png: 7" in shown
    assert shown.count(" %") == 10
    for word in ("odenet-mnist@1", "NFE", "stable yes", "tried tol", "accepted"):
        assert word in " ".join(shown.split())


def test_standard_input_is_read_for_a_dash(url):
    for content in (SEVEN.read_bytes(), PICTURE.read_bytes()):
        found = json.loads(printed("classify", "--json", "--url", url, "-", stdin=content))
        assert found["predictions"][0]["label"] == "7"


def test_probabilities_are_written_as_an_array(url, tmp_path):
    found = json.loads(printed("classify", "--json", "--url", url, "--out", tmp_path / "p.npy", SEVEN))
    assert np.load(tmp_path / "p.npy").tolist() == [found["predictions"][0]["probabilities"]]


def test_a_picture_that_is_refused_does_not_keep_the_others_from_their_labels(url, tmp_path):
    (tmp_path / "broken.png").write_bytes(PICTURE.read_bytes()[:60])
    done = odeserve("classify", "--json", "--url", url, tmp_path / "broken.png", SEVEN)
    assert done.returncode == 1
    refused, fine = map(json.loads, done.stdout.splitlines())
    assert refused["error"]["code"] == "invalid_input"
    assert "broken.png: invalid_input: " in done.stderr
    assert fine["predictions"][0]["label"] == "7"
    as_table = odeserve("classify", "--url", url, tmp_path / "broken.png", SEVEN)
    assert as_table.returncode == 1
    assert "7.json: 7" in as_table.stdout


def gif():
    return encoded(seven(), "GIF")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello, this is no picture", "expected a PNG picture"),
        (gif(), "expected a PNG picture"),
        (None, "Is a directory"),
    ],
)
def test_a_file_that_is_no_picture_is_wrong_usage(tmp_path, content, message):
    path = tmp_path / "what"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    done = odeserve("classify", "--url", NOBODY, path)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())
    assert odeserve("classify", "--url", NOBODY, tmp_path / "nowhere.png").returncode == 2


@pytest.mark.parametrize(
    "words",
    [
        ("classify", SEVEN),
        ("density", ROOT / "examples/points.csv"),
        ("sample",),
        ("predict", ROOT / "examples/points.csv"),
        ("trajectory", SEVEN),
        ("tradeoff",),
        ("models", "--url", NOBODY),
        ("bench", NOBODY, "--seconds", "0.1"),
    ],
)
def test_without_a_server_the_exit_code_is_3_and_stdout_is_empty(words):
    done = odeserve(*words, ODECLIENT_URL=NOBODY)
    assert (done.returncode, done.stdout) == (3, "")
    assert NOBODY in done.stderr
    if words[0] != "bench":
        assert "odeserve serve" in done.stderr
        assert ("--local" in done.stderr) is (words[0] != "models")


def test_an_address_that_is_none_is_wrong_usage():
    for wrong in ("ftp://127.0.0.1", "http://", "http://[::1"):
        assert odeserve("sample", "--url", wrong).returncode == 2


def test_somebody_else_at_the_address_is_told_apart():
    class Other(BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(200 if "density" in self.path else 404)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<h1>no</h1>")

        def log_message(self, *words):
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        there = f"http://127.0.0.1:{other.server_port}"
        asked = [
            odeserve(*words, "--url", there, "--json") for words in (("sample",), ("density", "examples/points.csv"))
        ]
        other.shutdown()
    for done in asked:
        assert (done.returncode, done.stdout) == (1, "")
        assert "is it an odeserve server?" in done.stderr


def test_a_key_or_certificate_that_cannot_be_one_is_wrong_usage(tmp_path):
    (tmp_path / "nonsense.pem").write_text("nonsense")
    for words in (("--api-key", "ключ"), ("--cacert", tmp_path / "nonsense.pem")):
        done = odeserve("sample", "--url", NOBODY, *words)
        assert done.returncode == 2
        assert "expected" in done.stderr


def test_a_key_is_asked_for_taken_from_either_place_and_never_shown(keyed):
    without = odeserve("sample", "--url", keyed)
    assert without.returncode == 1
    assert "unauthorized" in without.stderr
    assert "ODECLIENT_API_KEY" in without.stderr
    wrong = odeserve("sample", "--url", keyed, "--api-key", "key-of-mallory")
    assert wrong.returncode == 1
    assert "mallory" not in wrong.stdout + wrong.stderr
    given = odeserve("sample", "--url", keyed, "--model", CLOUD, "--api-key", KEY)
    taken = odeserve("sample", "--model", CLOUD, ODECLIENT_URL=keyed, ODECLIENT_API_KEY=KEY)
    for done in (given, taken):
        assert done.returncode == 0, done.stderr
        assert KEY not in done.stdout + done.stderr
    bench = odeserve("bench", keyed, "--api-key", KEY, "--model", CLOUD, "--seconds", "0.5", "--json")
    assert bench.returncode == 0, bench.stderr
    figures = json.loads(bench.stdout)
    assert figures["all"]["ok"] == figures["all"]["sent"] > 0


def test_a_model_of_ones_own_is_asked_at_several_times(keyed, tmp_path):
    options = ("predict", "--url", keyed, "--api-key", KEY, "--model", SPRING, "--at", "0.5", "--at", "1.0")
    (tmp_path / "states.csv").write_text("1.0 0.0\n0.5 -1.0\n")
    described = httpx.get(f"{keyed}/models/{SPRING}", headers={"X-API-Key": KEY}).json()["signature"]["/predict"]
    args = {spec["name"]: [np.zeros(spec["shape"]).tolist()] * 2 for spec in described["args"] if not spec["draw"]}
    body = {"inputs": [[1.0, 0.0], [0.5, -1.0]], "args": args}
    found = json.loads(printed(*options, "--json", "-", stdin=json.dumps(body).encode()))
    expected = httpx.post(
        f"{keyed}/predict?model={SPRING}", json={**body, "t": [0.5, 1.0]}, headers={"X-API-Key": KEY}
    ).json()
    assert untimed(found) == untimed(expected)
    assert "output" in printed(*options, "-", stdin=json.dumps(body).encode(), width=60)


def points(count):
    return np.random.default_rng(0).normal(size=(count, 2)).round(3)


def test_density_of_a_table_an_array_and_a_body_are_the_same(url, tmp_path):
    some = points(20)
    body = json.dumps({"points": some.tolist()}).encode()
    table = "x, y # two\n\n" + "\n".join(f"{x};{y}" for x, y in some.tolist())
    files = {"points.csv": table.encode(), "points.npy": npy(some), "points.json": body}
    expected = asked(url, "/density", body, tol="1e-4")
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        answer = json.loads(printed("density", "--json", "--url", url, "--tol", "1e-4", tmp_path / name))
        assert untimed(answer) == expected


@pytest.mark.parametrize("width", [60, 120])
def test_densities_are_shown_and_written(url, tmp_path, width):
    some = points(12)
    (tmp_path / "points.npy").write_bytes(npy(some))
    ask = ("density", "--url", url, tmp_path / "points.npy")
    shown = printed(*ask, "--out", tmp_path / "out.csv", width=width)
    assert max(map(len, shown.splitlines())) <= width
    assert "the first 10 of 12" in " ".join(shown.split())
    rows = table_in(tmp_path / "out.csv")
    assert [[float(row["x1"]), float(row["x2"])] for row in rows] == some.tolist()
    printed(*ask, "--out", tmp_path / "out.npy")
    written = np.load(tmp_path / "out.npy")
    assert written.tolist() == [float(row["log_density"]) for row in rows]
    expected = asked(url, "/density", json.dumps({"points": some.tolist()}).encode())
    assert written.tolist() == [item["log_density"] for item in expected["predictions"]]
    printed(*ask, "--out", tmp_path / "out.json")
    assert untimed(json.loads((tmp_path / "out.json").read_text())) == expected


def test_a_table_longer_than_a_request_may_be_goes_in_parts(url, tmp_path):
    some = points(12_000)
    (tmp_path / "points.npy").write_bytes(npy(some))
    out = tmp_path / "out.npy"
    lines = printed("density", "--json", "--url", url, "--tol", "1e-1", "--out", out, tmp_path / "points.npy")
    answers = list(map(json.loads, lines.splitlines()))
    assert [len(answer["predictions"]) for answer in answers] == [5_000, 5_000, 2_000]
    found = [item["log_density"] for answer in answers for item in answer["predictions"]]
    assert np.load(out).tolist() == found
    one = asked(url, "/density", json.dumps({"points": some[11_999:].tolist()}).encode(), tol="1e-1")
    assert one["predictions"][0]["log_density"] == found[-1]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("1,2\n3,x\n", "line 2: expected numbers, got '3,x'"),
        ("1,2\n\n3\n", "line 3: expected 2 numbers as above, got 1"),
        ("x,y\n# nothing\n", "has no line of numbers"),
        ("a,b\nc,d\n", "line 2: expected numbers, got 'c,d'"),
        (b"\x93NUMPY but not really", "expected a .npy array of numbers"),
        (b"\xff\x00\x01", "expected a PNG picture"),
        (npy(np.zeros((0, 2))), "got shape [0, 2]"),
        (npy(np.zeros((2, 2, 2))), "got shape [2, 2, 2]"),
        (npy(np.array([None]), allow_pickle=True), "expected a .npy array of numbers"),
    ],
)
def test_a_table_that_is_wrong_is_told_with_its_line(table, message):
    done = odeserve("density", "--url", NOBODY, "-", stdin=table if isinstance(table, bytes) else table.encode())
    assert done.returncode == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.parametrize("width", [60, 120])
def test_samples_are_those_of_the_api(url, tmp_path, width):
    out = tmp_path / "points.npy"
    ask = ("sample", "--url", url, "--n", "300", "--seed", "7", "--tol", "1e-3")
    shown = printed(*ask, "--out", out, width=width)
    assert max(map(len, shown.splitlines())) <= width
    assert "seed 7" in shown
    expected = asked(url, "/sample", b'{"n": 300, "seed": 7}', tol="1e-3")
    assert np.load(out).tolist() == expected["samples"]
    assert untimed(json.loads(printed(*ask, "--json"))) == expected
    printed(*ask, "--out", tmp_path / "points.csv")
    assert np.loadtxt(tmp_path / "points.csv", delimiter=",", skiprows=1).tolist() == expected["samples"]


@pytest.mark.parametrize("width", [60, 120])
def test_a_trajectory_shows_every_attempt(url, tmp_path, width):
    ask = ("trajectory", "--url", url, "--tol", "1e-4", "-")
    shown = printed(*ask, "--out", tmp_path / "steps.csv", stdin=b"0.5,1.0", width=width)
    assert max(map(len, shown.splitlines())) <= width
    expected = asked(url, "/trajectory", b'{"points": [[0.5, 1.0]]}', tol="1e-4")
    assert untimed(json.loads(printed(*ask, "--json", stdin=b"0.5,1.0"))) == expected
    (item,) = expected["items"]
    rows = table_in(tmp_path / "steps.csv")
    assert [float(row["t"]) for row in rows] == [step["t"] for step in item["steps"]]
    assert shown.count("accepted") == item["solver"]["accepted"] + 1
    picture = json.loads(printed("trajectory", "--url", url, "--json", PICTURE))
    assert picture["items"][0]["label"] == "7"


@pytest.mark.parametrize("width", [60, 120])
def test_the_tradeoff_is_shown_for_the_methods_that_auto_takes(url, width):
    rows = httpx.get(f"{url}/models/{DIGIT}/tradeoff").json()["rows"]
    shown = printed("tradeoff", "--url", url, width=width)
    assert max(map(len, shown.splitlines())) <= width
    assert "odenet-mnist@1 classify" in shown
    tols = sorted({row["tol"] for row in rows}, reverse=True)
    words = [line.replace("*", "").split() for line in shown.splitlines()]
    table = [row for row in words if row[1:2] in (["bosh3"], ["dopri5"])]
    assert [float(words[0]) for words in table] == tols
    # As the README has it.
    assert (table[0][1], table[2][1], table[-1][1]) == ("dopri5", "bosh3", "dopri5")
    every = printed("tradeoff", "--url", url, "--method", "all", width=width)
    assert sum("tsit5" in line for line in every.splitlines()) == len(tols)
    fields = ("method", "tol", "nfe_mean", "error_p99")
    told = json.loads(printed("tradeoff", DIGIT, "--url", url, "--json"))["rows"]
    assert [[row[field] for field in fields] for row in told] == [[row[field] for field in fields] for row in rows]


def test_what_the_server_refuses_is_told_with_its_code_and_what_to_do(url):
    cases = [
        (("classify", "--tol", "10", SEVEN), "invalid_input: tol: expected", "from 1e-06 to 0.1"),
        (("classify", "--model", "resnet", SEVEN), "unknown_model: no model 'resnet'", "--model"),
        (("tradeoff", "resnet"), "unknown_model: no model 'resnet'", "--model"),
        (("sample", "--n", "20000"), "too_large: ", "ask for fewer"),
        (("sample", "--n", "5000", "--tol", "1e-6", "--deadline-ms", "0.01"), "deadline: ", "--deadline-ms"),
        (("sample", "--n", "5", "--tol", "1e-6", "--max-nfe", "20"), "solver_failed: ", "--partial"),
    ]
    for words, said, advice in cases:
        done = odeserve(*words, "--url", url)
        assert (done.returncode, done.stdout) == (1, ""), words
        assert said in done.stderr
        assert advice in done.stderr
    as_json = odeserve(*cases[-1][0], "--url", url, "--json")
    assert as_json.returncode == 1
    assert json.loads(as_json.stdout)["error"]["code"] == "solver_failed"


def test_items_that_fail_are_shown_written_and_end_with_1(url, tmp_path):
    ask = ("sample", "--n", "3", "--tol", "1e-6", "--max-nfe", "20", "--partial", "--url", url)
    done = odeserve(*ask, "--out", tmp_path / "points.npy")
    assert done.returncode == 1
    assert "failed 3" in done.stdout
    assert np.isnan(np.load(tmp_path / "points.npy")).all()
    tight = ("--tol", "1e-6", "--max-nfe", "10", "--partial", "--url", url)
    for words in (("classify", SEVEN), ("density", "examples/points.csv"), ("trajectory", SEVEN)):
        done = odeserve(*words, *tight)
        assert done.returncode == 1, done.stderr
        assert "max_nfe" in done.stdout


def test_results_are_written_only_where_and_as_they_can_be(url, tmp_path):
    for out in ("points.txt", tmp_path / "nowhere" / "points.npy"):
        done = odeserve("sample", "--url", url, "--out", out)
        assert (done.returncode, done.stdout) == (2, "")
    (tmp_path / "taken.npy").mkdir()
    done = odeserve("sample", "--url", url, "--out", tmp_path / "taken.npy")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr


def test_local_answers_are_those_of_a_server(url):
    checkpoints = {"ODESERVE_MODELS_DIR": str(ROOT / "checkpoints")}
    for words, path, body in (
        (("classify", "--tol", "auto", SEVEN), "/classify", SEVEN.read_bytes()),
        (("sample", "--n", "40", "--seed", "3", "--model", FLOW), "/sample", b'{"n": 40, "seed": 3}'),
    ):
        query = {"tol": "auto"} if path == "/classify" else {"model": FLOW}
        found = json.loads(printed(*words, "--local", "--json", **checkpoints, ODECLIENT_URL=NOBODY))
        assert untimed(found) == asked(url, path, body, **query)


def test_local_needs_artifacts_and_right_settings(tmp_path):
    unknown = odeserve("classify", "--local", "--model", "resnet", SEVEN)
    assert unknown.returncode == 1
    assert "no artifact 'resnet'; there are" in unknown.stderr
    nothing = odeserve("sample", "--local", ODESERVE_MODELS_DIR=str(tmp_path))
    assert nothing.returncode == 1
    assert "no artifact here" in nothing.stderr
    setting = odeserve("sample", "--local", ODESERVE_SHARDS="none")
    assert setting.returncode == 1
    assert "ODESERVE_SHARDS" in setting.stderr


def test_models_of_a_server_are_told_with_their_tolerances(url):
    told = json.loads(printed("models", "--url", url, "--json"))["models"]
    entries = [{name: one[name] for name in ("name", "version", "task", "default", "ready")} for one in told]
    assert entries == httpx.get(f"{url}/models").json()["models"]
    assert {one["name"]: one["programs"]["sample" if "cnf" in one["name"] else "classify"]["tol"] for one in told} == {
        DIGIT: {"tightest": 1e-6, "loosest": 0.1, "default": 0.01},
        FLOW: {"tightest": 1e-6, "loosest": 0.1, "default": 0.0001},
    }
    for width in (60, 120):
        shown = printed("models", "--url", url, width=width)
        assert max(map(len, shown.splitlines())) <= width
        assert f"{url} is ready" in shown


def test_a_server_that_is_stopping_is_told_as_not_ready(models_dir):
    with serving(MODELS_DIR=models_dir, LANES=4, DEFAULT_MODELS=CLOUD, DRAIN_NOTICE_SECONDS=20) as server:
        server.process.terminate()
        while server.ready():
            pass
        done = odeserve("sample", "--url", server.url)
    assert done.returncode == 3
    assert "not_ready" in done.stderr
    assert "Retry-After" in done.stderr


def test_a_transparent_picture_and_a_large_one_are_the_servers_to_read(url, tmp_path):
    picture = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    picture.paste(seven(64).convert("RGBA"), (0, 0))
    path = tmp_path / "[bold]seven.png"
    path.write_bytes(encoded(picture))
    assert "[bold]seven.png: 7" in printed("classify", "--url", url, path)


def test_progress_is_shown_on_a_terminal_alone(url):
    import os
    import pty

    master, slave = pty.openpty()
    done = subprocess.run(
        [ODESERVE, "classify", "--json", "--url", url, *[SEVEN] * 5],
        stdout=subprocess.PIPE,
        stderr=slave,
        env=environment() | {"TERM": "xterm", "COLUMNS": "100"},
        timeout=60,
        check=True,
    )
    os.close(slave)
    seen = os.read(master, 65536).decode()
    os.close(master)
    assert "classifying" in seen
    assert [json.loads(line)["predictions"][0]["label"] for line in io.StringIO(done.stdout.decode())] == ["7"] * 5
