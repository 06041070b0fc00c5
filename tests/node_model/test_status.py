"""The closed set of ends a lane can have."""

import subprocess
import sys

from node_model.status import ADVICE, Status


def test_the_integers_are_fixed_because_exported_graphs_return_them():
    assert {status.label: int(status) for status in Status} == {
        "running": 0,
        "ok": 1,
        "max_nfe": 2,
        "dt_min": 3,
        "non_finite": 4,
        "deadline": 5,
        "cancelled": 6,
    }


def test_every_status_has_a_sentence():
    assert set(ADVICE) == set(Status)
    assert all(len(sentence) > 10 for sentence in ADVICE.values())


def test_manifest_and_status_load_without_torch():
    code = (
        "import sys; import node_model, node_model.manifest, node_model.status, node_model.errors; "
        "heavy = {'torch', 'numpy', 'onnxruntime', 'safetensors'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
