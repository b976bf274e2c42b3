"""Checks that return findings about how this process, machine and installation run in parallel; no printing."""
