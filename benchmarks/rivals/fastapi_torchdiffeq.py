"""FastAPI around torchdiffeq, one request at a time, as people write it. `TORCH_THREADS` is the size of a solve's team.

Run: TORCH_THREADS=1 uvicorn benchmarks.rivals.fastapi_torchdiffeq:def_app --workers 2
"""

import os

import torch
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.rivals.weights import TorchdiffeqClassifier

torch.set_num_threads(int(os.environ.get("TORCH_THREADS", "1")))
classifier = TorchdiffeqClassifier()


class Body(BaseModel):
    """One image, rows of numbers in 0..1."""

    image: list[list[float]]


def classified(body: Body, tol: float) -> dict[str, object]:
    """One solve."""
    (probabilities,) = classifier(torch.tensor([body.image]), tol).tolist()
    return {"label": int(torch.tensor(probabilities).argmax()), "probabilities": probabilities}


def_app = FastAPI()


@def_app.post("/classify")
def classify_in_a_thread(body: Body, tol: float = 1e-2) -> dict[str, object]:
    """A plain function: FastAPI runs it in its thread pool, many at once."""
    return classified(body, tol)


async_app = FastAPI()


@async_app.post("/classify")
async def classify_on_the_loop(body: Body, tol: float = 1e-2) -> dict[str, object]:
    """A coroutine: one solve at a time, nothing else meanwhile."""
    return classified(body, tol)
