"""A ceiling: a bare ASGI application under uvicorn that answers every request with the same JSON.

python bare_uvicorn.py PORT
"""

# mypy: ignore-errors
# It runs in an environment of its own; its packages are not here.

import sys

import uvicorn

BODY = (
    b'{"jsonrpc":"2.0","id":100000,"result":{"content":[{"type":"text","text":"hello, world"}],'
    b'"resultType":"complete"}}'
)
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())],
}


async def app(scope, receive, send) -> None:
    """Read the whole request and answer it."""
    while (await receive()).get("more_body"):
        pass
    await send(START)
    await send({"type": "http.response.body", "body": BODY})


if __name__ == "__main__":
    uvicorn.run(
        app, port=int(sys.argv[1]), loop="uvloop", http="httptools", lifespan="off", access_log=False, log_level="error"
    )
