"""Control over a running exchange from outside: the HTTP API, the page and state files."""
