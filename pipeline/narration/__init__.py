"""A book to its audio: its chapters, the segments they are spoken in, and what becomes of their sound."""
