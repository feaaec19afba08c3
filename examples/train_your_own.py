"""A router of your own experts out of your own requests: here the three teams of a shop, in a few minutes.

python examples/train_your_own.py my-router

A few dozen rows and short training make a first draft; docs/own-experts.md goes on from here.
"""

import json
import sys
import tempfile
from pathlib import Path

from octopus_graph import OctopusRouter
from octopus_graph.training.commands import own_lessons, train_router
from octopus_graph.training.recipe import PLAN, read_plan

REQUESTS = {
    "shipping": """where is my parcel
        it says delivered but nothing is here
        can you deliver to a packing station?
        How long does shipping to Norway take?
        tracking number doesnt work
        I need the order by Friday, is express possible?
        the courier left it in the rain
        change the delivery address please
        two of three boxes arrived
        do you ship batteries abroad
        My parcel has been stuck in customs for a week.
        who is your carrier
        package went back to sender, why
        is there a pickup point near me?
        the driver never rang the bell
        when will order 5521 be sent""",
    "refunds": """i want my money back
        charged twice for order 1182
        How do I return these shoes?
        the refund is still not on my account
        can I exchange it for a bigger size
        you took 40 euros too much
        Cancel my order and return the payment, please.
        paid with a voucher, how is that given back
        what is your return policy
        still waiting for the credit note
        do I pay for sending it back?
        my card shows a payment I did not make
        bought it cheaper elsewhere, do you match the price
        the discount code was not deducted
        get a refund without the receipt?
        I was billed for a subscription I ended""",
    "devices": """the scanner wont turn on
        screen flickers since the update
        How do I reset the coffee machine?
        it makes a grinding noise
        battery is empty after an hour
        bluetooth does not find my headphones
        error E07 on the display
        which cable fits this monitor
        is the watch waterproof?
        printer prints only half the page
        how to install the new firmware
        The keyboard types double letters.
        laptop gets very hot
        no sound from the left speaker
        forgot the pin of the safe
        what memory card can I put in the camera""",
}


def main(folder: Path) -> None:
    """Trains, and asks about requests it has not seen."""
    plan = read_plan(PLAN)
    quick = {"first_layer": 20, "batch": 4, "evaluations": 0}
    mixture = plan.mixture.model_copy(update={"passes": 16, "composed": 0})
    plan = plan.model_copy(update={"router": plan.router.model_copy(update=quick), "mixture": mixture})
    with tempfile.TemporaryDirectory() as work:
        rows = Path(work) / "requests.jsonl"
        asked = [(expert, request.strip()) for expert, lines in REQUESTS.items() for request in lines.splitlines()]
        rows.write_text("".join(json.dumps({"request": text, "expert": expert}) + "\n" for expert, text in asked))
        train_router(own_lessons([rows]), plan, folder, Path(work) / "checkpoints")
    router = OctopusRouter.from_pretrained(folder)
    for request in ("my parcel is late", "the app says I paid 20 euros twice", "the tablet does not charge any more"):
        decision = router.decide(request, rewrite="never")
        print(f"{decision.expert} ({decision.confidence:.0%}): {request}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "my-router"))
