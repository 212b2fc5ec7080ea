"""What the exchange does with a request: authentication, rate limits, endpoints, and the journal of requests."""
