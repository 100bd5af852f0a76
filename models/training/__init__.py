"""Training: what is learnt from the corpus, one module a model."""
