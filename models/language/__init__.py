"""What `models.words` is made of: how people describe faces, and reading it."""
