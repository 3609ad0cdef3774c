"""Commands of the command line that are jobs of their own; `pipeline.cli` takes them in."""
