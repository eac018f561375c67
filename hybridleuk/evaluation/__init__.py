"""Group-aware evaluation and comparison of any classifier on images."""
