"""What a test needs and may not find."""

import os

import pytest


def missing(reason):
    """Skip the test; in continuous integration, where nothing may be missing, fail."""
    if os.environ.get("CI"):
        raise AssertionError(reason)
    pytest.skip(reason)
