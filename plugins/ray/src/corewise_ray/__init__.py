"""corewise on Ray: the same program on a cluster. Everything is reached through ``corewise.executor("ray")``."""
