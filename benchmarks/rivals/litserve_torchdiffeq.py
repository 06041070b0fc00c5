"""LitServe with dynamic batches around torchdiffeq; the tightest tolerance in a batch rules it.

Run: TORCH_THREADS=1 python -m benchmarks.rivals.litserve_torchdiffeq --port 8000 --workers 2 --batch 32
"""

import argparse
import os
from typing import Any

import litserve
import torch

from benchmarks.rivals.weights import TorchdiffeqClassifier

Request = tuple[torch.Tensor, float]


class ClassifyAPI(litserve.LitAPI):
    """Images with a tolerance each, solved together."""

    def setup(self, device: str) -> None:
        """Once per worker."""
        torch.set_num_threads(int(os.environ.get("TORCH_THREADS", "1")))
        self.classifier = TorchdiffeqClassifier()

    def decode_request(self, request: dict[str, Any]) -> Request:
        """The body: {"image": ..., "tol": ...}."""
        return torch.tensor(request["image"]), float(request["tol"])

    def batch(self, inputs: list[Request]) -> Request:
        """One tensor, one tolerance."""
        images, tols = zip(*inputs, strict=True)
        return torch.stack(images), min(tols)

    def predict(self, batch: Request) -> torch.Tensor:
        """Probabilities."""
        images, tol = batch
        return self.classifier(images if images.ndim == 3 else images[None], tol)

    def unbatch(self, output: torch.Tensor) -> list[torch.Tensor]:
        """A row each."""
        return list(output)

    def encode_response(self, output: torch.Tensor) -> dict[str, Any]:
        """As JSON."""
        return {"label": int(output.argmax()), "probabilities": output.flatten().tolist()}


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    for name in ("port", "workers", "batch"):
        parser.add_argument(f"--{name}", type=int, required=True)
    args = parser.parse_args()
    api = ClassifyAPI(max_batch_size=args.batch, batch_timeout=0.005, api_path="/classify")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=args.workers, timeout=60)
    server.run(host="127.0.0.1", port=args.port, log_level="error", generate_client_file=False)


if __name__ == "__main__":
    main()
