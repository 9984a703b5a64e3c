"""Weights files: safetensors with the configuration of the model."""
