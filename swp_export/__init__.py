"""From a stripe-wise pruned PyTorch checkpoint to a small, verified, fast ONNX model."""
