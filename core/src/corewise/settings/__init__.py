"""Settings: what was asked, from where, and what holds.

``sources.read`` gathers raw values, ``structure.structure`` judges them, ``resolve.resolve`` makes of them what holds,
and ``resolve.share`` what holds in a worker. The classes are in ``model``; ``describe.describe`` makes rows for tables.
"""
