"""The port, the connections, and how responses are sent."""
