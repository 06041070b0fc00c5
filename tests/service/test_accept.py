import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.accept import EVERY_FORM, Form, form_of

LINES, ARRAY = Form.LINES.value, Form.ARRAY.value


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, Form.JSON),
        ("", Form.JSON),
        ("*/*", Form.JSON),
        ("application/json, text/plain, */*", Form.JSON),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Form.JSON),
        (LINES, Form.LINES),
        (ARRAY, Form.ARRAY),
        ("Application/X-NDJSON", Form.LINES),
        (f"{LINES}, */*", Form.LINES),
        (f"{LINES}; charset=utf-8", Form.LINES),
        (f"{LINES};q=0.5, {ARRAY};q=0.8", Form.ARRAY),
        (f"{LINES};q=0.5, application/json", Form.JSON),
        (f"{LINES}, application/json;q=0.999", Form.LINES),
        (f"{LINES}, {ARRAY}", Form.LINES),
        (f"application/json;q=0, {ARRAY};q=0.1", Form.ARRAY),
        ("application/json;q=0, application/*", Form.LINES),
        (f'text/plain;note="a, {LINES}"', Form.JSON),
        (f"{LINES};q=2", Form.JSON),
        (f"{LINES};q=0", Form.JSON),
        ("text/csv", Form.JSON),
        ("nonsense", Form.JSON),
        (f"nonsense, {ARRAY}", Form.ARRAY),
        ("image/png," * 90 + ARRAY, Form.ARRAY),
        ("image/png," * 200 + ARRAY, Form.JSON),
    ],
)
def test_the_form_is_the_one_that_the_header_prefers(accept, form):
    assert form_of(accept) is form


def test_what_is_not_on_offer_falls_to_the_next_best():
    assert form_of(f"{ARRAY}, {LINES};q=0.5", (Form.JSON, Form.LINES)) is Form.LINES
    assert form_of(ARRAY, (Form.JSON, Form.LINES)) is Form.JSON


@given(st.text('*/;=q01.5," \\\tajson', max_size=60))
def test_any_header_has_an_answer(accept):
    assert form_of(accept) in EVERY_FORM
