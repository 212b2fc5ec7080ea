"""SOL staking: one method for each endpoint."""
