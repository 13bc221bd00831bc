"""What each model's publisher does with an image before the network sees it."""
