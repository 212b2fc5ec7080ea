"""Users, what they hold, and the terms of SOL staking."""
