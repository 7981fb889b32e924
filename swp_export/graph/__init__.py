"""The network as an ONNX graph (onnx_ir): export, one exact pass per file, and what is counted on it.

Before lowering, every convolution is a standard Conv whose weight is exactly zero in its dead stripes, so the model is
valid and runs between any two passes, and a wrong pass is found by comparing the model before and after it.
"""
