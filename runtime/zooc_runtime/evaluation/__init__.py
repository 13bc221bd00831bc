"""From images and outputs to accuracy."""
