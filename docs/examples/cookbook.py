"""Recipes as resources, and a prompt about them whose arguments are completed."""

from typing import Annotated, Literal

from mcpserve import Arg, EmbeddedResource, Message, NotFound, prompt, resource

RECIPES = {
    "rye": "Flour, water, salt, and a sourdough that is a day old.",
    "rolls": "Flour, water, salt, yeast, and butter.",
}


@resource("recipes://all", ttl=60)
def recipes() -> list[str]:
    """The names of all recipes."""
    return sorted(RECIPES)


@resource("recipes://bread/{name}", mime_type="text/plain", ttl=60)
def recipe(name: Annotated[str, Arg("Which bread.", completer=sorted(RECIPES))]) -> str:
    """The recipe of a bread."""
    if name not in RECIPES:
        raise NotFound(f"There is no recipe for {name}.")
    return RECIPES[name]


def tools_for(typed: str, bread: str = "") -> list[str]:
    """Suggest what to bake with: tins are for rye."""
    found = ["oven", "stone", "tin"] if bread in ("", "rye") else ["oven", "stone"]
    return [tool for tool in found if tool.startswith(typed)]


@prompt
def plan_baking(
    bread: Annotated[str, Arg("What to bake.", completer=sorted(RECIPES))],
    tool: Annotated[str, Arg("What to bake it with.", completer=tools_for)] = "oven",
    loaves: int = 1,
    style: Literal["brief", "detailed"] = "brief",
) -> list[Message | EmbeddedResource | str]:
    """Plan an afternoon of baking."""
    return [
        f"Plan the baking of {loaves} loaves of {bread} with the {tool}. Be {style}.",
        EmbeddedResource(f"recipes://bread/{bread}", recipe(bread), mime_type="text/plain"),
        Message("I have read the recipe. When do you begin?", role="assistant"),
    ]
