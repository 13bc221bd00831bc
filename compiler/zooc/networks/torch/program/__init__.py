"""Networks that torch saved whole: `torch.export` programs (.pt2) and TorchScript (.pt)."""
