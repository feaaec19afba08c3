"""Past requests decided again by another router or graph, so that a change can be tested on yesterday's traffic.

`past` reads threads as turns: what was asked, whom it went to, what they answered. `again` walks each once more with
the answers that were recorded. `figures` counts what differs.
"""

from octopus_graph.replay.again import Again, Replayer
from octopus_graph.replay.figures import Figures, figures_of
from octopus_graph.replay.past import Past, PastStep, read_past

__all__ = ["Again", "Figures", "Past", "PastStep", "Replayer", "figures_of", "read_past"]
