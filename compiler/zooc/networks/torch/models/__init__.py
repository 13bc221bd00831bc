"""Where each source takes its modules from: timm, torchvision, the official ResNeSt and iResNet."""
