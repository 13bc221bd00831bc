"""What an ONNX file, a package or a `.zoo` file's network holds: operators, parameters, work, sizes."""
