"""Classifiers: on feature tables, and end to end on images."""
