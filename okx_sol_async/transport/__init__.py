"""One call over HTTP, from the queue to its outcome."""
