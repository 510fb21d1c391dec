"""Networks to model files: ONNX, quantisation, parity."""
