"""Graphs of models for other runtimes (ONNX), and prediction with them."""
