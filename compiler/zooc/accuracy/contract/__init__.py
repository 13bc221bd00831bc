"""The accuracy contract: int8 measured against float, and layers returned to float until it holds."""
