"""`python -m octopus_graph`: the command line, where its script is not on the path."""

from octopus_graph.cli import main

main()
