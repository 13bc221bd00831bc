"""Other runtimes that open `model.onnx`: what each makes of the file, asked of the runtime itself."""
