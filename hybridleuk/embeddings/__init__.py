"""Frozen convolutional networks as feature extractors."""
