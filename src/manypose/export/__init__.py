"""Export of models as graphs for other runtimes (ONNX)."""
