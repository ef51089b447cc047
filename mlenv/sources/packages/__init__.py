"""Python packages: which wheels an environment needs, and where locked ones lie today. uv resolves."""
