"""Executors: the contract that a plugin fulfils, and the map engine that gives every one of them the same options."""
