"""Known public data sets: what each is, how it lies on disk, and how to come by it."""
