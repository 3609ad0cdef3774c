"""The page that people look at: one self-contained HTML file made from a run's results."""
