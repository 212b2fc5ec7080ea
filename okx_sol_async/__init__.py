"""The asyncio SDK for OKX's SOL staking API."""
