from pipeline import ray_settings  # noqa: F401 (before ray, which some jobs import)
