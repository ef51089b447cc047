"""Evidence against a lock -> findings."""
