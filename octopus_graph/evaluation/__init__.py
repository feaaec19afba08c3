"""Measures a router on requests with known answers, beside baselines trained on the same rows in the same run.

cases        what is measured on: JSONL of the documented shapes
samples      which of them, and how many
contenders   what is measured beside the router
vectors      embeddings that are computed once
kept         what a run that was stopped goes on from
metrics      accuracy, macro-F1, calibration, risk and coverage, with bootstrap intervals
routing, paths, rewrites, robustness, calibration, answers, speed
one task each: cases in, figures out
tables       figures out as tables of texts
report       figures out as JSON and as one page of HTML
"""
