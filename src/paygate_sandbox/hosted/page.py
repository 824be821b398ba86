"""How the provider's own pages look.

It must never be handed anything that is not escaped.
"""

from string import Template

from aiohttp import web

_PAGE = Template(
    """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>$title</title>
<style>body{font:1.1rem/1.5 system-ui;max-width:32rem;margin:12vh auto;padding:0 1rem}
button,input{font:inherit;padding:.5rem 1.5rem;margin-right:1rem}dt{font-weight:600}
dd{margin:0 0 .5rem;overflow-wrap:anywhere}</style>
<h1>$title</h1>
$content
</html>
"""
)


def html(title: str, content: str, status: int = 200) -> web.Response:
    return web.Response(
        text=_PAGE.substitute(title=title, content=content),
        status=status,
        content_type="text/html",
        headers={
            "Cache-Control": "no-store",
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
            # Its address carries a nonce.
            "Referrer-Policy": "no-referrer",
        },
    )
