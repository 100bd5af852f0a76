"""What `models.binding` is made of: finding a face on a mesh, fitting the head to it, carrying motion."""
