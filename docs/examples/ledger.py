"""A tool whose client need not hold on to its connection."""

from mcpserve import Call, tool


@tool
async def check_accounts(call: Call, accounts: int = 12) -> str:
    """Go through the accounts, a second for each."""
    for account in range(1, accounts + 1):
        await call.close_stream(retry_ms=5000)
        await call.sleep(1.0)
        await call.progress(account, accounts)
    return f"{accounts} accounts are in order."
