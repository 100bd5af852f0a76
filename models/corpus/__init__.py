"""Building and reading training data: one module per data set, plus the template of the Dimple head."""
