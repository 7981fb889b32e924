"""ONNX models in float64: what they compute when nothing is rounded. It needs numpy and onnx_ir only."""
