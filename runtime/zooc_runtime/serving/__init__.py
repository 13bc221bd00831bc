"""The HTTP server of packages: the Open Inference Protocol, metrics, and a page to try images on."""
