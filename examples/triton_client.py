"""Ask odeserve with NVIDIA's tritonclient: a neural ODE behind the Open Inference Protocol, tolerances as parameters.

Run: python examples/triton_client.py [127.0.0.1:8000]     needs: pip install 'tritonclient[http]'
"""

import json
import sys
from pathlib import Path

import numpy as np
import tritonclient.http as triton

SEVEN = np.array(json.loads((Path(__file__).parent / "digits" / "7.json").read_text())["image"], np.float32)
IMAGES = np.stack([SEVEN, SEVEN.T])


def image_input(binary: bool) -> triton.InferInput:
    """Two images, as bytes behind the JSON or as numbers in it."""
    tensor = triton.InferInput("image", list(IMAGES.shape), "FP32")
    tensor.set_data_from_numpy(IMAGES, binary_data=binary)
    return tensor


def describe(client: triton.InferenceServerClient) -> None:
    """What there is to be asked."""
    print("models and what they take and give:\n")
    for name in ("odenet-mnist", "cnf-two-moons", "cnf-two-moons:sample"):
        said = client.get_model_metadata(name)
        inputs, outputs = (
            ", ".join(f"{tensor['name']} {tensor['datatype']}{tensor['shape']}" for tensor in said[side])
            for side in ("inputs", "outputs")
        )
        print(f"  {name}\n    in:  {inputs}\n    out: {outputs}")


def classify(client: triton.InferenceServerClient) -> None:
    """The same images at three tolerances, sent as JSON and as bytes: the answers are the same bits."""
    print("\ntwo images, a seven and a seven that fell over:\n")
    for tol in (1e-1, 1e-5, "auto"):
        found = {}
        for binary in (False, True):
            outputs = [
                triton.InferRequestedOutput(name, binary_data=binary)
                for name in ("label", "probabilities", "nfe", "tol", "stable")
            ]
            found[binary] = client.infer(
                "odenet-mnist", [image_input(binary)], outputs=outputs, parameters={"tol": tol}
            )
        as_json, as_bytes = (found[binary].as_numpy("probabilities") for binary in (False, True))
        assert as_json.tobytes() == as_bytes.tobytes(), "JSON and binary tensors must say the same"
        labels = [label.decode() for label in found[True].as_numpy("label")]
        nfe, used, stable = (found[True].as_numpy(name).tolist() for name in ("nfe", "tol", "stable"))
        for item, label in enumerate(labels):
            print(
                f"  tol {tol!s:5} image {item}: {label} ({as_bytes[item].max():.4f}), NFE {nfe[item]}, "
                f"solved at {used[item]:g}, stable {stable[item]}"
            )


def density_and_samples(client: triton.InferenceServerClient) -> None:
    """Programs of one model are models of the protocol: name, and name:program."""
    points = np.array([[0.5, 1.0], [0.0, 0.0]], np.float32)
    point = triton.InferInput("point", [2, 2], "FP32")
    point.set_data_from_numpy(points)
    result = client.infer("cnf-two-moons", [point], parameters={"tol": 1e-4})
    said = result.get_response()["parameters"]
    print(
        f"\nlog-densities {np.round(result.as_numpy('log_density'), 4).tolist()} by {said['method']}, NFE {said['nfe']}"
    )
    n, seed = triton.InferInput("n", [1], "INT32"), triton.InferInput("seed", [1], "INT64")
    n.set_data_from_numpy(np.array([3], np.int32))
    seed.set_data_from_numpy(np.array([7], np.int64))
    drawn = client.infer("cnf-two-moons:sample", [n, seed], parameters={"tol": 1e-3}).as_numpy("sample")
    print("three samples: " + ", ".join(f"({x:.3f}, {y:.3f})" for x, y in drawn))


def refused(client: triton.InferenceServerClient) -> None:
    """Errors have the server's own words."""
    try:
        client.infer("odenet-mnist", [image_input(True)], parameters={"tol": 10.0})
    except triton.InferenceServerException as error:
        print(f"\na tolerance of 10 is refused: {error}")


def main() -> None:
    """Everything above, against one server."""
    address = (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8000").removeprefix("http://")
    with triton.InferenceServerClient(address) as client:
        try:
            client.is_server_ready()
        except OSError as error:
            raise SystemExit(f"nobody answers at {address} ({error}); start a server with: make serve") from error
        for part in (describe, classify, density_and_samples, refused):
            part(client)


if __name__ == "__main__":
    main()
