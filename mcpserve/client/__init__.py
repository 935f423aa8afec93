"""The streaming client: point it at any MCP server, of any revision."""
