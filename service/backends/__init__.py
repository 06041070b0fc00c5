"""How a program is run: exported graphs in ONNX Runtime, or node_model's own step in PyTorch."""

import os
from pathlib import Path

from node_model.manifest import Manifest
from service.engine.stepper import Stepper
from service.settings import Settings

# ONNX Runtime tells its makers how it is used, over the network, unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def open_stepper(settings: Settings, directory: Path, manifest: Manifest, program: str) -> Stepper:
    """A program on the backend that the settings name.

    Errors: ArtifactError naming the file that is missing, altered or does not fit; SettingsError without PyTorch.
    """
    # Each backend is imported when it is asked for: the other one's runtime is never loaded.
    if settings.backend == "torch":
        from service.backends.torch import TorchStepper

        return TorchStepper(directory, manifest, program, settings.device)
    from service.backends.onnx import OnnxStepper

    return OnnxStepper(directory, manifest, program)
