"""FastAPI around torchdiffeq, one request at a time, as people write it. `TORCH_THREADS` is the size of a solve's team.

Run: TORCH_THREADS=1 uvicorn benchmarks.rivals.fastapi_torchdiffeq:app --workers 2
"""

import os

import torch
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.rivals.weights import TorchdiffeqClassifier

torch.set_num_threads(int(os.environ.get("TORCH_THREADS", "1")))
app = FastAPI()
classifier = TorchdiffeqClassifier()


class Body(BaseModel):
    """One image, rows of numbers in 0..1."""

    image: list[list[float]]


@app.post("/classify")
async def classify(body: Body, tol: float = 1e-2) -> dict[str, object]:
    """A coroutine, so that solves do not run in several threads at once and fight for the cores."""
    (probabilities,) = classifier(torch.tensor([body.image]), tol).tolist()
    return {"label": int(torch.tensor(probabilities).argmax()), "probabilities": probabilities}
