"""What every test shares. Nothing here may import the packages under test."""

import os
from pathlib import Path

import pytest

# No test phones anybody: neither a model hub nor a tracing service.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["LANGSMITH_TRACING"] = "false"


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return Path(__file__).resolve().parent.parent
