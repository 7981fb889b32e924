"""The command `inspect`: what is in a checkpoint or an ONNX model."""
