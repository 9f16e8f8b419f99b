"""mcfpaper."""
