"""The figures of a network's ONNX file, read as data: nothing in it is executed, no file that it names is opened."""
