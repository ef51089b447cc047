"""Base images: where they come from, and what is read out of them."""
