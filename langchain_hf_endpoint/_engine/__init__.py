"""One call: texts in, vectors out."""
