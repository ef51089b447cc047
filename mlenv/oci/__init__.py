"""The OCI specifications: references, descriptors, images, layouts."""
