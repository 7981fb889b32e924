"""The command `prune`: checkpoint or ONNX model -> compact, verified ONNX model."""
