"""Training: from rows to a router and its edge adapters (the extra `train`)."""
