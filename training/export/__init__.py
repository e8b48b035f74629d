"""A forecaster as ONNX graphs, and the invariants it is held to."""
