"""A resource that changes, and the tool that changes it and says so."""

from mcpserve import publish, resource, tool

TEMPERATURE = "oven://temperature"

degrees = 20


@resource(TEMPERATURE)
def temperature() -> str:
    """The temperature of the oven."""
    return f"{degrees} °C"


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
