"""The engine that runs a model in this process, through torch, transformers and peft (the extra `local`)."""

from octopus_graph.engines.hf.engine import HFEngine

__all__ = ["HFEngine"]
