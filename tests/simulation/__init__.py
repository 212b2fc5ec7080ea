"""Months of a service on a virtual clock: the real client, the real emulator, a made-up network, and the laws."""
