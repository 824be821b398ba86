"""paygate, a self-hosted payment gateway. ARCHITECTURE.md is the map."""

__version__ = "0.1.0"
