"""Named measurements of nucleus and cytoplasm."""
