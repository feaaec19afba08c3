"""octopus-graph: a graph of language models that behaves like one model."""
