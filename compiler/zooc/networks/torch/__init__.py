"""Networks from torch: timm, torchvision and the official repositories."""
