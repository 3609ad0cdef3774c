"""Cues spoken into their slots: voices, fit, takes, the track and what is handed on with it."""
