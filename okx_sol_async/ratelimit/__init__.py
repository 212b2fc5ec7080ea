"""OKX's limits, and what keeps them."""
