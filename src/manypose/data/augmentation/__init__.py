"""Random views of photos and people for training."""
