"""Graph files: `octopus.yaml` in, experts, router and graph out.

    load_spec("default")  ->  GraphSpec  ->  build_graph(spec)  ->  BuiltGraph(experts, router, graph)

`document` reads the YAML and remembers where everything stands, `models` says what may stand there, `loading` turns
what is wrong into one sentence with file, line and field, `building` makes the parts. Secrets are never in a file: it
names the environment variables that hold them.
"""

from octopus_graph.spec.building import BuiltGraph, build_graph, build_router, store_of
from octopus_graph.spec.loading import SHIPPED, json_schema, load_spec
from octopus_graph.spec.models import ExpertSpec, GraphSpec, HuggingFaceModel, RouterSpec, UrlModel

__all__ = [
    "SHIPPED",
    "BuiltGraph",
    "ExpertSpec",
    "GraphSpec",
    "HuggingFaceModel",
    "RouterSpec",
    "UrlModel",
    "build_graph",
    "build_router",
    "json_schema",
    "load_spec",
    "store_of",
]
