"""Running a bundle: onnxruntime sessions that hold no state."""
