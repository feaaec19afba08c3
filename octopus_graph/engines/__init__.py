"""Engines: language models behind one narrow seam (`base.Engine`)."""
