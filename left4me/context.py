from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest) -> dict[str, object]:
    """What every page may know about this installation."""
    return {"game_is_simulated": settings.LEFT4ME_GAME == "simulated", "signup": settings.LEFT4ME_SIGNUP}
