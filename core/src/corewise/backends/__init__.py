"""Backends: libraries with threads of their own, and how corewise limits them."""
