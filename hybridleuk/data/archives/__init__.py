"""Images inside zip, tar and NumPy files, read where they lie."""
