from django.conf import settings
from django.http import HttpRequest

THEMES = ("light", "dark")


def site(request: HttpRequest) -> dict[str, object]:
    """What every page may know about this installation and about the visitor's choice of scheme."""
    theme = request.COOKIES.get("theme")
    return {
        "game_is_simulated": settings.LEFT4ME_GAME == "simulated",
        "signup": settings.LEFT4ME_SIGNUP,
        "theme": theme if theme in THEMES else "",
    }
