"""ONNX Runtime: sessions on the device that was asked for, or an error that says why not."""
