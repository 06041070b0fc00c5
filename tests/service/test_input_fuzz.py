"""Bodies that are damaged in any way end with a documented code, never with a fault."""

import base64
import json

import numpy as np
from drawings import encoded, npy, seven
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PNG, JPEG = encoded(seven()), encoded(seven(), "JPEG", progressive=True)
ARRAY = npy(np.full((2, 8, 8), 0.5))
FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="7.png"\r\n\r\n' + PNG + b"\r\n--b--\r\n"
PICTURES = json.dumps({"image": {"b64": base64.b64encode(PNG).decode()}}).encode()
SEEDS = [
    ("image/png", PNG),
    ("image/png", encoded(seven().convert("P"), transparency=0)),
    ("image/jpeg", JPEG),
    ("application/x-npy", ARRAY),
    ("multipart/form-data; boundary=b", FORM),
    ("application/json", PICTURES),
]
CODES = {"invalid_input", "too_large", "unsupported_media_type"}


@st.composite
def damaged(draw):
    """A good body with bytes changed, put in, taken out, or doubled."""
    kind, body = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(body)))
        length = draw(st.integers(0, 40))
        put = draw(st.one_of(st.binary(max_size=40), st.just(body[at : at + length] * 2)))
        body = body[:at] + put + body[at + length :]
    return kind, body


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damaged())
def test_damaged_bodies_end_with_a_documented_code(client, sent):
    kind, body = sent
    answer = client.post("/classify", content=body, headers={"Content-Type": kind})
    if answer.status_code == 200:
        assert answer.json()["predictions"][0]["status"] == "ok"
    else:
        assert answer.json()["error"]["code"] in CODES, answer.text


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from([kind for kind, _ in SEEDS]), body=st.binary(max_size=300))
def test_any_bytes_end_with_a_documented_code(client, kind, body):
    answer = client.post("/classify", content=body, headers={"Content-Type": kind})
    assert answer.json()["error"]["code"] in CODES, answer.text
