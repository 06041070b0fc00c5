"""Start, stop, and what happens to requests meanwhile: a real process, real signals."""

import signal
import sys
import threading
from collections import Counter
from functools import partial

import httpx
import pytest
from apps import eventually, serving
from artifacts import CLOUD

FAULTY = """
import sys, time
import service.models as models
from service.cli import app

class Faulty:
    def __init__(self, inner):
        self.inner = inner
    def __getattr__(self, name):
        return getattr(self.inner, name)
    def step(self, method, lanes):
        if (abs(lanes.y) > 1e5).any():
            {fault}
        return self.inner.step(method, lanes)

opened = models.open_stepper
models.open_stepper = lambda *args: Faulty(opened(*args))
app()
"""
POINT = {"points": [[0.0, 1.0, 0.0]]}
MARKED = {"points": [[0.0, 1.0, 1e6]]}


class Load:
    """Clients that ask one after another, each on connections of its own, until the server is gone."""

    def __init__(self, url, clients=8, items=20):
        self.outcomes = Counter()
        self._url = url
        self._body = {"points": [[0.1 * k, 1.0, -0.1 * k] for k in range(items)]}
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self):
        while True:
            try:
                answer = httpx.post(
                    f"{self._url}/density?model={CLOUD}&tol=1e-4", json=self._body, headers={"Connection": "close"}
                )
            except httpx.ConnectError:
                return
            except httpx.TransportError as error:
                self.outcomes[type(error).__name__] += 1
                return
            self.outcomes[answer.status_code] += 1
            if answer.status_code == 503:
                assert "Retry-After" in answer.headers
                return

    def join(self):
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


def test_with_notice_every_request_is_answered_and_the_exit_is_clean(models_dir):
    with serving(MODELS_DIR=models_dir, DRAIN_NOTICE_SECONDS=1) as server:
        load = Load(server.url)
        eventually(lambda: load.outcomes[200] > 50)
        server.process.send_signal(signal.SIGTERM)
        load.join()
        # The listener stays open: whoever comes is told, and told to come again.
        late = httpx.get(f"{server.url}/health/ready")
        assert late.status_code == 503
        assert late.json()["error"]["details"]["state"] == "draining"
        assert httpx.get(f"{server.url}/health/live").status_code == 200
        assert server.process.wait(30) == 0
    assert set(load.outcomes) == {200, 503}


def test_as_a_lame_duck_it_answers_everything_but_probes(models_dir):
    with serving(MODELS_DIR=models_dir, LAME_DUCK_SECONDS=60) as server, httpx.Client() as client:
        ask = partial(client.post, f"{server.url}/density?model={CLOUD}&tol=1e-4", json=POINT)
        ask().raise_for_status()
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: not server.ready())
        assert httpx.get(f"{server.url}/v2/health/ready").status_code == 503
        assert httpx.get(f"{server.url}/health/live").status_code == 200
        # On the connection that it keeps, and on a fresh one.
        answers = [ask(), httpx.get(f"{server.url}/models")]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert all("close" not in answer.headers.get("Connection", "") for answer in answers)


def test_a_lame_duck_ends_by_itself_and_cleanly(models_dir):
    with serving(MODELS_DIR=models_dir, LAME_DUCK_SECONDS=0.5) as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0


def test_a_second_signal_ends_a_lame_duck_at_once(models_dir):
    with serving(MODELS_DIR=models_dir, LAME_DUCK_SECONDS=60) as server:
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: not server.ready())
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 128 + signal.SIGTERM


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_without_notice_what_is_under_way_still_ends(models_dir, sig):
    slowed = [sys.executable, "-c", FAULTY.format(fault="time.sleep(0.01)")]
    with serving(slowed, MODELS_DIR=models_dir) as server:
        body = {"points": [[0.001 * k, 1.0, 1e6] for k in range(10_000)]}
        answers = []
        slow = threading.Thread(
            target=lambda: answers.append(
                httpx.post(f"{server.url}/density?model={CLOUD}&tol=1e-4", json=body, timeout=60)
            )
        )
        slow.start()
        eventually(lambda: server.metric("lanes_active") > 0)
        server.process.send_signal(sig)
        assert server.process.wait(30) == 0
        slow.join()
        assert answers[0].status_code == 200
        assert len(answers[0].json()["predictions"]) == 10_000


def test_what_does_not_end_in_time_is_told_so(models_dir):
    with serving(
        [sys.executable, "-c", FAULTY.format(fault="time.sleep(0.5)")],
        MODELS_DIR=models_dir,
        DRAIN_SECONDS=0.5,
        LANES=1,
    ) as server:
        answers = []
        slow = threading.Thread(
            target=lambda: answers.append(
                httpx.post(f"{server.url}/density?model={CLOUD}", json={"points": MARKED["points"] * 50}, timeout=60)
            )
        )
        slow.start()
        eventually(lambda: server.metric("lanes_active") > 0)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        slow.join()
        assert answers[0].status_code == 503
        assert answers[0].json()["error"]["details"]["state"] == "draining"


def test_a_second_signal_ends_the_process_at_once(models_dir):
    with serving(MODELS_DIR=models_dir, DRAIN_NOTICE_SECONDS=60) as server:
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: not server.ready())
        server.process.send_signal(signal.SIGTERM)
        # Long before the notice is over.
        assert server.process.wait(30) == 128 + signal.SIGTERM


def test_a_backend_that_raises_costs_its_own_requests_alone(models_dir):
    with serving(
        [sys.executable, "-c", FAULTY.format(fault="raise RuntimeError('broken')")], MODELS_DIR=models_dir
    ) as server:
        url = f"{server.url}/density?model={CLOUD}&tol=1e-4"
        for _ in range(3):
            answer = httpx.post(url, json=MARKED)
            assert answer.status_code == 500
            assert answer.json()["error"]["code"] == "internal"
            assert "broken" not in answer.text
            assert httpx.post(url, json=POINT).status_code == 200
        assert httpx.get(f"{server.url}/health/live").status_code == 200
        assert server.metric("lanes_active") == 0
        assert server.metric("requests_total", status="internal", model=CLOUD) == 3


def test_a_shard_that_hangs_turns_live_to_503_while_the_others_answer(models_dir):
    with serving(
        [sys.executable, "-c", FAULTY.format(fault="time.sleep(1000)")], MODELS_DIR=models_dir, SHARDS=2, MAX_SECONDS=2
    ) as server:
        url = f"{server.url}/density?model={CLOUD}&tol=1e-4"
        answer = httpx.post(url, json=MARKED, timeout=30)
        assert answer.status_code == 504
        for _ in range(5):
            assert httpx.post(url, json=POINT).status_code == 200
        eventually(lambda: httpx.get(f"{server.url}/health/live").status_code == 503)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
