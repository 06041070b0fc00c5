"""`python -m training`: odetrain, for torchrun and for a checkout that is not installed."""

from training.cli import app

app()
