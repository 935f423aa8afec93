"""Makes `twist mcpserve` and `twistd mcpserve` known to Twisted; imports nothing of ours until it is chosen."""

from twisted.application.service import ServiceMaker

serviceMaker = ServiceMaker("mcpserve", "mcpserve.service.tap", "An MCP server for streaming tools", "mcpserve")
