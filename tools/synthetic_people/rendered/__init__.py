"""Rendered people: three-dimensional bodies over photos."""
