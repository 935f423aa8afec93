"""Servers that have names, credentials, and what goes wrong: `python known_servers.py FILE NAME`."""

import os
import sys
from pathlib import Path

from twisted.logger import STDLibLogObserver, globalLogBeginner

from mcpserve.client import ApiKey, ClientError, RemoteError, Unauthorized, Unreachable, from_environment, read_servers
from mcpserve.client.sync import Client


def named(path, name):
    """A client of a server that a file describes, with the credentials of the environment if there are any."""
    servers = read_servers(Path(path).read_bytes(), os.environ, source=path)
    return Client.to(servers[name], credentials=from_environment())


def tried(client):
    """What the server says, or why it does not."""
    try:
        with client:
            return client.call_tool("add", {"a": 1, "b": 2}).content[0].text
    except Unauthorized as error:
        return f"{error.status}: it wants better credentials"
    except Unreachable as error:
        return f"it is not there: {error}"
    except RemoteError as error:
        return f"it says {error.code}: {error.message}"
    except ClientError as error:
        return f"there is no result: {error}"


globalLogBeginner.beginLoggingTo([STDLibLogObserver()], redirectStandardIO=False)

if __name__ == "__main__":
    print(tried(named(sys.argv[1], sys.argv[2])))
    print(tried(Client("http://127.0.0.1:9/mcp", credentials=ApiKey("a key"))))
