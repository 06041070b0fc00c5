"""Files are whole or as they were."""

import subprocess
import sys

import pytest

from node_model.whole_file import write_whole

FULL = """
import resource, signal, sys
from pathlib import Path
from node_model.whole_file import write_whole
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_whole(Path(sys.argv[1]), bytes(5000))
except OSError as error:
    print(error)
"""


def test_what_was_there_is_replaced(tmp_path):
    for content in (b"first", b"second"):
        write_whole(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_where_there_is_no_room_the_last_one_stays_and_the_file_is_named(tmp_path):
    """A real limit of the system on the size of files, in a process of its own."""
    path = tmp_path / "file"
    path.write_bytes(b"first")
    done = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True, check=True)
    assert "File too large" in done.stdout
    assert str(path) in done.stdout
    assert path.read_bytes() == b"first"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere/file"):
        write_whole(tmp_path / "nowhere" / "file", b"")
