"""Images and where they come from: manifests, the decoder, splits, the cache, drawn smears."""
