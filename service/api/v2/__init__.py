"""The Open Inference Protocol (KServe v2, Triton): the same models and solves under /v2."""
