"""The server: sockets, TLS, HTTP/1.1, and an ASGI application behind them.

It faces strangers. What they can make large, many or slow has its bound here (docs/server.md), so
that the application can take for granted that it has none of them.
"""
