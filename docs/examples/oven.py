"""Tools that change something, and say so to whoever listens."""

from mcpserve import publish, tool

TEMPERATURE = "oven://temperature"

degrees = 20


@tool
def heat(target: int) -> str:
    """Set the temperature of the oven.

    Args:
        target: In degrees Celsius.
    """
    global degrees
    if target != degrees:
        degrees = target
        publish.resource_updated(TEMPERATURE)
    return f"The oven is at {degrees} °C."
