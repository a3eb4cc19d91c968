"""Embed files of texts into a file of vectors, so that what is paid for once is not paid again."""
