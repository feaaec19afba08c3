"""What `octopus_graph_integrations` offers."""

import subprocess
import sys

import pytest

import octopus_graph_integrations


def test_every_name_it_offers_is_there_and_they_are_sorted() -> None:
    names = octopus_graph_integrations.__all__
    assert sorted(names) == names
    for name in names:
        assert getattr(octopus_graph_integrations, name).__name__ == name


def test_a_name_it_does_not_offer_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'ChatSquid'"):
        getattr(octopus_graph_integrations, "ChatSquid")  # noqa: B009


def test_importing_it_imports_nothing_else() -> None:
    code = "import octopus_graph_integrations, sys; print([m for m in ('langchain', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.strip() == "[]"
