"""The offline half of Eddycast: history in, forecasters out as ONNX bundles."""
