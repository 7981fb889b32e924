"""ONNX files: reading those of others, which may be damaged or hostile, and writing ours."""
