"""Drawn people: jointed figures over photos."""
