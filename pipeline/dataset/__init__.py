"""Data sets of synthetic speech: what is to be said, what of it passed, and the formats people train from."""
