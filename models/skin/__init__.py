"""What `models.appearance` is made of: maps, strain of the skin, the work on image files."""
