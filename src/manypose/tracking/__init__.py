"""People of a video over time."""
