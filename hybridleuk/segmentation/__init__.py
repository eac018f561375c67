"""Leukocytes in an image: masks of nucleus and cytoplasm, with quality flags."""
