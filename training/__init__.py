"""Training of ODE-Nets and continuous normalizing flows, and the making of artifacts."""

import os

# ONNX Runtime tells its makers how it is used, over the network, unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
