"""Which commit a checkout says it is."""

import pytest

from service.build import build_commit, checkout_commit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    "files",
    [
        {"HEAD": COMMIT},
        {"HEAD": "ref: refs/heads/main", "refs/heads/main": COMMIT},
        {"HEAD": "ref: refs/heads/main", "packed-refs": f"# pack-refs with: peeled\n{COMMIT} refs/heads/main\n"},
    ],
    ids=["detached", "loose", "packed"],
)
def test_a_checkout_tells_its_commit(tmp_path, files):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    assert checkout_commit(tmp_path) == COMMIT[:12]


@pytest.mark.parametrize("files", [{}, {"HEAD": "ref: refs/heads/main"}, {"HEAD": "ref: x", "packed-refs": ""}])
def test_where_there_is_none_it_is_unknown(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert checkout_commit(tmp_path) == "unknown"


def test_this_build_has_one_word_for_it():
    assert len(build_commit()) in (7, 12)
