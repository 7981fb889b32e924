"""The way from a torch module to an ONNX model."""
