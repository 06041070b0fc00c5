"""Who may ask, and from where: keys, other origins, a prefix, https."""

import logging
import ssl
import subprocess

import httpx
import pytest
from apps import ODESERVE, environment, running_app, serving
from artifacts import CLOUD
from hypothesis import given
from hypothesis import strategies as st
from needed import missing

from service.api.keys import KeyGuard
from service.settings import Settings, SettingsError, read_settings

POINT = {"points": [[0.0, 1.0, 0.0]]}
KEYS = ("first-key", "zweiter:Schluessel/+=", *(f"key-{k}" for k in range(200)))


def with_settings(settings, **changes):
    return Settings(**(settings.model_dump() | changes))


@pytest.fixture(scope="module")
def guarded(settings):
    with running_app(with_settings(settings, api_keys=",  ".join(KEYS))) as client:
        yield client


@pytest.mark.parametrize("key", [KEYS[0], KEYS[1], KEYS[-1]])
def test_each_key_opens_in_either_header(guarded, key):
    for headers in (
        {"Authorization": f"Bearer {key}"},
        {"Authorization": f"bearer   {key}"},
        {"X-API-Key": key},
        {"X-API-Key": f" {key} "},
    ):
        assert guarded.post(f"/density?model={CLOUD}", json=POINT, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer first-ke"},
        {"Authorization": "Bearer first-key2"},
        {"Authorization": "Bearer FIRST-KEY"},
        {"Authorization": "Basic Zmlyc3Qta2V5"},
        {"Authorization": "Bearer first-key,key-0"},
        {"X-API-Key": ""},
        {"X-API-Key": b"first-key" + b"\xff"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/density"), ("GET", "/models"), ("GET", "/nowhere"), ("POST", "/health/live/x/..")]
)
def test_without_a_key_nothing_is_told(guarded, headers, method, path):
    path = path.replace("/health/live/x/..", f"/models/{CLOUD}")
    answer = guarded.request(method, path, json=POINT, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["X-Request-ID"]
    assert answer.json()["error"]["code"] == "unauthorized"
    assert "first" not in answer.text
    assert "wrong" not in answer.text


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json", "/"])
def test_probes_scrapers_and_the_page_need_no_key(guarded, path):
    assert guarded.get(path, follow_redirects=False).status_code in (200, 307)


@pytest.mark.parametrize(
    "path", ["/health", "/healthx", "/health/../models", "/docs%2F..%2Fmodels", "/docs/../models", "/metrics/"]
)
def test_paths_that_resemble_open_ones_are_closed(guarded, path):
    assert guarded.get(path).status_code in (401, 404)
    assert "tiny" not in guarded.get(path).text


def test_refusals_are_counted_and_no_key_is_logged(guarded, caplog):
    def counted():
        lines = guarded.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if 'status="unauthorized"' in line)

    before = counted()
    with caplog.at_level(logging.DEBUG):
        guarded.post("/density", json=POINT, headers={"Authorization": "Bearer a-wrong-key"})
        guarded.post("/density", json=POINT, headers={"Authorization": f"Bearer {KEYS[0]}"})
    assert counted() == before + 1
    assert KEYS[0] not in caplog.text
    assert "a-wrong-key" not in caplog.text


def test_a_large_body_without_a_key_is_not_read(models_dir):
    with serving(MODELS_DIR=models_dir, DEFAULT_MODELS=CLOUD, LANES=4, API_KEYS="k") as server:
        answer = httpx.post(f"{server.url}/density", content=b" " * 2**20)
        assert answer.status_code == 401
        assert answer.headers["Connection"] == "close"


@given(keys=st.lists(st.text("abc", min_size=1), min_size=1), sent=st.text("abc"))
def test_those_keys_and_no_others_open(keys, sent):
    guard = KeyGuard(lambda *_: None, keys, lambda *_: None)
    assert guard._knows(sent) == (sent in keys)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("API_KEYS", "good,bad key", "ASCII"),
        ("API_KEYS", "schlüssel", "ASCII"),
        ("API_KEYS", " , ,", "between the commas"),
        ("CORS_ORIGINS", "example.org", "https://example.org"),
        ("CORS_ORIGINS", "https://example.org/page", "without a path"),
        ("ROOT_PATH", "ode", "ROOT_PATH"),
        ("ROOT_PATH", "/ode?x", "ROOT_PATH"),
        ("TLS_CERT", "cert.pem", "both or none"),
        ("TLS_KEY", "key.pem", "both or none"),
        ("MAX_BODY_MB", "inf", "finite"),
        ("MAX_BODY_MB", "1e-9", "0.001"),
        ("MAX_SECONDS", "inf", "finite"),
        ("DRAIN_SECONDS", "nan", "finite"),
    ],
)
def test_wrong_settings_are_named_and_keys_are_not_quoted(monkeypatch, name, value, words):
    monkeypatch.setenv(f"ODESERVE_{name}", value)
    with pytest.raises(SettingsError, match=words) as raised:
        read_settings()
    assert f"ODESERVE_{name}" in str(raised.value)
    if name == "API_KEYS":
        assert "good" not in str(raised.value)
        assert "schl" not in str(raised.value)
        assert raised.value.__cause__ is None


def test_keys_are_shown_nowhere(monkeypatch):
    monkeypatch.setenv("ODESERVE_API_KEYS", " hidden-one ,hidden-two,")
    settings = read_settings()
    assert [key.get_secret_value() for key in settings.api_keys] == ["hidden-one", "hidden-two"]
    assert "hidden" not in f"{settings!r} {settings} {settings.model_dump_json()}"
    monkeypatch.setenv("ODESERVE_API_KEYS", "")
    assert read_settings().api_keys == ()


# Other origins

PAGE = {"Origin": "https://page.example"}
PREFLIGHT = PAGE | {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


def test_other_origins_are_told_nothing_unless_allowed(client):
    answer = client.post(f"/density?model={CLOUD}", json=POINT, headers=PAGE)
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert client.options("/density", headers=PREFLIGHT).status_code == 405


def test_allowed_origins_may_ask_and_read_the_cost(settings):
    changed = with_settings(settings, cors_origins="https://page.example, http://localhost:3000", api_keys="k")
    with running_app(changed) as client:
        # A browser sends no key with its preflight.
        preflight = client.options("/density", headers=PREFLIGHT)
        assert preflight.status_code == 200
        assert preflight.headers["Access-Control-Allow-Origin"] == PAGE["Origin"]
        assert "authorization" in preflight.headers["Access-Control-Allow-Headers"].lower()
        answer = client.post(f"/density?model={CLOUD}", json=POINT, headers=PAGE | {"X-API-Key": "k"})
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE["Origin"]
        exposed = answer.headers["Access-Control-Expose-Headers"].lower()
        assert all(name in exposed for name in ("x-nfe", "x-tol", "x-request-id", "server-timing", "retry-after"))
        assert "Access-Control-Allow-Credentials" not in answer.headers
        for sent, status in (({}, 401), ({"X-API-Key": "k"}, 422)):
            refused = client.post("/density?tol=x", json=POINT, headers=PAGE | sent)
            assert refused.status_code == status
            assert refused.headers["Access-Control-Allow-Origin"] == PAGE["Origin"]
        other = client.post("/density", json=POINT, headers={"Origin": "https://other.example", "X-API-Key": "k"})
        assert "Access-Control-Allow-Origin" not in other.headers


def test_any_origin_may_be_allowed(settings):
    with running_app(with_settings(settings, cors_origins="*")) as client:
        answer = client.post(f"/density?model={CLOUD}", json=POINT, headers=PAGE)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


# A prefix


@pytest.mark.parametrize("prefix", ["/ode", "/a/b-c"])
def test_behind_a_prefix_requests_are_answered_with_it_and_without(settings, prefix):
    with running_app(with_settings(settings, root_path=f"{prefix}/", api_keys="k")) as client:
        client.headers["X-API-Key"] = "k"
        for sent in ("", prefix):
            assert client.post(f"{sent}/density?model={CLOUD}", json=POINT).status_code == 200
            assert client.get(f"{sent}/models/{CLOUD}").status_code == 200
            assert client.get(f"{sent}/health/live", headers={"X-API-Key": ""}).status_code == 200
            assert client.get(f"{sent}/models", headers={"X-API-Key": ""}).status_code == 401
            assert client.get(f"{sent}/openapi.json").json()["servers"] == [{"url": prefix}]
            assert "swagger-ui" in client.get(f"{sent}/docs").text
            assert client.get(f"{sent}/docs/docs.js").status_code == 200
            assert "playground/main.js" in client.get(f"{sent}/", headers={"X-API-Key": ""}).text
            assert client.get(f"{sent}/playground/main.js", headers={"X-API-Key": ""}).status_code == 200
            assert client.get(f"{sent}/nowhere").status_code == 404
            assert client.get(f"{sent}/classify").status_code == 405
        assert client.get(prefix, follow_redirects=False).headers["Location"] == f"{prefix}/"
        assert client.get(f"{prefix}x/models").status_code == 404
        # Metrics go by the routes' own names.
        assert f'route="{prefix}' not in client.get("/metrics").text
        assert 'route="/density"' in client.get("/metrics").text


def test_behind_a_prefix_the_quick_way_is_taken(settings, monkeypatch):
    from fastapi import FastAPI

    async def slow(self, scope, receive, send):
        raise AssertionError("went through FastAPI")

    with running_app(with_settings(settings, root_path="/ode")) as client:
        router = client.app.router
        monkeypatch.setattr(type(router), "__call__", slow)
        assert client.post(f"/ode/density?model={CLOUD}", json=POINT).status_code == 200
        assert client.post(f"/density?model={CLOUD}", json=POINT).status_code == 200
        assert isinstance(client.app, FastAPI)


# https


def openssl(directory, name, *options):
    cert, key = directory / f"{name}.pem", directory / f"{name}.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(cert), *(options or ("-nodes",))),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return cert, key


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    try:
        return directory, openssl(directory, "server"), openssl(directory, "other")
    except FileNotFoundError:
        missing("openssl is missing")


def test_https_is_spoken_with_a_certificate_and_nothing_older_than_tls_1_2(certificates, models_dir):
    _, (cert, key), _ = certificates
    variables = {"MODELS_DIR": models_dir, "DEFAULT_MODELS": CLOUD, "LANES": 4, "TLS_CERT": cert, "TLS_KEY": key}
    process = subprocess.Popen(
        [ODESERVE, "serve", "--port", "0"], env=environment(**variables), stdout=subprocess.PIPE, text=True
    )
    try:
        # Log lines come before it.
        line = next(line for line in process.stdout if line.startswith("odeserve is ready"))
        assert line.startswith("odeserve is ready on https://127.0.0.1:")
        url = line.split()[4]
        trusting = ssl.create_default_context(cafile=cert)
        with httpx.Client(verify=trusting) as client:
            for _ in range(3):
                assert client.post(f"{url}/density", json=POINT).status_code == 200
        with pytest.raises(httpx.ConnectError, match="certificate"):
            httpx.get(f"{url}/health/live")
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url.replace('https', 'http')}/health/live")
        for words, code, said in (((), 3, "--cacert"), (("--cacert", str(cert)), 0, "")):
            asked = subprocess.run(
                [ODESERVE, "sample", "--url", url, "--model", CLOUD, *words], capture_output=True, text=True, timeout=60
            )
            assert asked.returncode == code, asked.stderr
            assert said in asked.stderr
        old = ssl.create_default_context(cafile=cert)
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with httpx.Client(verify=old) as client, pytest.raises(httpx.ConnectError):
            client.get(f"{url}/health/live")
    finally:
        process.terminate()
        assert process.wait(30) == 0
        process.stdout.close()


def started(**variables):
    return subprocess.run(
        [ODESERVE, "serve", "--port", "0"],
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_certificate_or_key_that_cannot_be_used_ends_the_start_with_its_name(certificates, tmp_path):
    directory, (cert, key), (other, _) = certificates
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    _, encrypted = openssl(directory, "locked", "-passout", "pass:secret")
    for wrong_cert, wrong_key, words in (
        (tmp_path / "none.pem", key, "TLS_CERT: .*none.pem: No such file"),
        (cert, tmp_path / "none.key", "TLS_KEY: .*none.key: No such file"),
        (tmp_path, key, "TLS_CERT: .*Is a directory"),
        (nonsense, key, "TLS_CERT: .*nonsense.pem: expected certificates as PEM"),
        (cert, nonsense, "TLS_KEY: .*nonsense.pem: expected a private key as PEM"),
        (other, key, "TLS_KEY: .*server.key: not the key of the certificate .*other.pem"),
        (directory / "locked.pem", encrypted, "TLS_KEY: .*locked.key: expected a key without a passphrase"),
    ):
        from service.tls import TlsError, tls_context

        with pytest.raises(TlsError, match=words):
            tls_context(wrong_cert, wrong_key)
    done = started(TLS_CERT=other, TLS_KEY=key)
    assert done.returncode == 1
    assert "not the key of" in done.stderr
    assert "Traceback" not in done.stderr
    done = started(TLS_CERT=cert)
    assert done.returncode == 1
    assert "both or none" in done.stderr


def test_a_key_in_a_wrong_setting_is_not_printed_at_the_start():
    done = started(API_KEYS="sehr geheim")
    assert done.returncode == 1
    assert "ODESERVE_API_KEYS" in done.stderr
    assert "geheim" not in done.stderr + done.stdout
