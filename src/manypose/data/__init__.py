"""Data sets, one file each; augmentation; loading."""
