"""From photos to `Poses` with any model."""
