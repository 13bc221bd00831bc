"""Sources of networks: an ONNX file, timm, torchvision, the official ResNeSt and iResNet."""
