"""What is wrong with a set of images, found before anyone trains on it."""
