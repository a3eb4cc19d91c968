"""Find out what an endpoint is, how it does, and what is likely to go wrong with it."""
