"""manypose: every person in a photo or video, their 2D keypoints."""

__version__ = "0.1.0"
