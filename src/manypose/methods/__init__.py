"""Pose estimation methods, one package per paper; `method` is their contract, `catalog` the named models."""
