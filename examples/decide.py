"""Only the decision: which expert, how sure, and what the runners-up are. No expert is called.

python examples/decide.py "Tell me the result of derivative of x^3 when x is 2?"
"""

import sys

from octopus_graph import OctopusRouter


def main(request: str) -> None:
    """Prints where a request goes."""
    decision = OctopusRouter.from_pretrained().decide(request)
    print(f"{decision.token} {decision.expert}, confidence {decision.confidence:.2f}, {decision.latency_ms:.0f} ms")
    for name, probability in decision.top:
        print(f"  {probability:6.1%}  {name}")
    if decision.rewrite:
        print(f"rewritten: {decision.rewrite}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "Tell me the result of derivative of x^3 when x is 2?")
