"""Keys, and the signature of a request."""
