"""What people drew on images: cells as boxes, centers and masks."""
