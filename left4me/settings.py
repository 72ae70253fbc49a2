"""Settings of the whole application: read from the environment once, checked here, documented in deploy/env.example.

Only the edges (tasks, views, commands) turn these values into objects; modules below take what they need as arguments.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import quote, urlsplit

from celery.schedules import crontab

from left4me.core import floods, logbook, secrets
from left4me.core.env import Environment, Misconfigured, database_from_url
from left4me.core.net import keepalive
from left4me.core.redis import broker, keys
from left4me.core.web import content_policy, processes

BASE_DIR = Path(__file__).resolve().parent.parent
env = Environment()

# --- where things are -----------------------------------------------------------------------------------------

LEFT4ME_ROOT = Path(env.text("LEFT4ME_ROOT") or BASE_DIR / "var").absolute()
LEFT4ME_BIND = env.bind("LEFT4ME_BIND", "127.0.0.1:8000")
LEFT4ME_HOST = env.host_name("LEFT4ME_HOST", "local")
LEFT4ME_RUNTIME = env.choice("LEFT4ME_RUNTIME", ["process", "systemd"], "process")
LEFT4ME_CGROUP = Path(env.text("LEFT4ME_CGROUP")) if env.text("LEFT4ME_CGROUP") else None
# `bin/up --demo` leaves this mark, so that later starts and commands on the same data play the same game.
_usual_game = "simulated" if (LEFT4ME_ROOT / "demo").exists() else "steam"
LEFT4ME_GAME = env.choice("LEFT4ME_GAME", ["steam", "simulated"], _usual_game)
# The function that installs each game. Dotted paths: the simulated game is a development tool, which no code of the
# product imports.
GAME_SOURCES = {"steam": "servers.hosts.installs.from_steam", "simulated": "servers.simulated.releases.install_newest"}
GAME_CHECKS = {"steam": "servers.hosts.game_checks.from_steam", "simulated": "servers.simulated.releases.newest_build"}
LEFT4ME_PORTS = env.ports("LEFT4ME_PORTS", "27015-27115")
LEFT4ME_FLOOD_LIMITS = env.flag("LEFT4ME_FLOOD_LIMITS", default=True)
LEFT4ME_FLOOD_REQUESTS = env.number("LEFT4ME_FLOOD_REQUESTS", **floods.REQUESTS.bounds)
LEFT4ME_FLOOD_REQUESTS_IN_ALL = env.number("LEFT4ME_FLOOD_REQUESTS_IN_ALL", **floods.REQUESTS_IN_ALL.bounds)
LEFT4ME_FLOOD_PACKETS = env.number("LEFT4ME_FLOOD_PACKETS", **floods.PACKETS.bounds)

# A host beside the web's own: where the content of overlays comes from, and as whom it is asked for.
LEFT4ME_WEB_URL = env.url("LEFT4ME_WEB_URL", "", schemes=["https", "http"])
LEFT4ME_WEB_CA = env.text("LEFT4ME_WEB_CA")
LEFT4ME_HOST_TOKEN = env.text("LEFT4ME_HOST_TOKEN")
if LEFT4ME_WEB_URL and not LEFT4ME_HOST_TOKEN:
    raise Misconfigured("LEFT4ME_WEB_URL also needs LEFT4ME_HOST_TOKEN. `left4mectl host add` prints both.")
# Who must have a second factor to use the pages.
LEFT4ME_SECOND_FACTOR = env.choice("LEFT4ME_SECOND_FACTOR", ["optional", "admins", "everyone"], "optional")
# Where users may also sign in, once they have linked their accounts there; an empty issuer: nowhere.
LEFT4ME_OIDC_ISSUER = env.url("LEFT4ME_OIDC_ISSUER", "", schemes=["https", "http"])
LEFT4ME_OIDC_CLIENT_ID = env.text("LEFT4ME_OIDC_CLIENT_ID")
LEFT4ME_OIDC_CLIENT_SECRET = env.text("LEFT4ME_OIDC_CLIENT_SECRET")
LEFT4ME_OIDC_NAME = env.text("LEFT4ME_OIDC_NAME") or urlsplit(LEFT4ME_OIDC_ISSUER).hostname or ""
if LEFT4ME_OIDC_ISSUER and not LEFT4ME_OIDC_CLIENT_ID:
    raise Misconfigured("LEFT4ME_OIDC_ISSUER also needs LEFT4ME_OIDC_CLIENT_ID, which the provider gives this site.")
LEFT4ME_STEAM_SIGN_IN = env.flag("LEFT4ME_STEAM_SIGN_IN", default=True)
LEFT4ME_SIGNUP = env.choice("LEFT4ME_SIGNUP", ["open", "invite", "closed"], "closed")

# Of the web: processes, and threads for pages in each of them.
LEFT4ME_WEB_PROCESSES = env.number("LEFT4ME_WEB_PROCESSES", processes.usual(LEFT4ME_RUNTIME), least=1, most=64)
LEFT4ME_WEB_THREADS = env.number("LEFT4ME_WEB_THREADS", 8 if LEFT4ME_WEB_PROCESSES == 1 else 4, least=1, most=64)

# --- safety ---------------------------------------------------------------------------------------------------

DEBUG = env.flag("LEFT4ME_DEBUG", default=False)
ALLOWED_HOSTS = env.words("LEFT4ME_ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"])
LEFT4ME_BEHIND_TLS = env.flag("LEFT4ME_BEHIND_TLS", default=False)
LEFT4ME_PROXY_SECRET = env.text("LEFT4ME_PROXY_SECRET")
# Opens /metrics, then also on this machine.
LEFT4ME_METRICS_TOKEN = env.text("LEFT4ME_METRICS_TOKEN")
if 0 < len(LEFT4ME_METRICS_TOKEN) < 16:
    raise Misconfigured("LEFT4ME_METRICS_TOKEN is shorter than 16 characters. Create one with `openssl rand -hex 24`.")


def _secret_key() -> str:
    key = env.text("LEFT4ME_SECRET_KEY")
    stored = LEFT4ME_ROOT / "secret_key"
    if not key and stored.is_file():
        key = stored.read_text().strip()
    if not key and LEFT4ME_BIND.is_loopback:
        # Tests and one-off commands on a fresh checkout: stable for this tree, worthless elsewhere.
        key = "loopback-only-" + hashlib.sha256(str(BASE_DIR).encode()).hexdigest()
    if len(key) < 32:
        raise Misconfigured(
            "LEFT4ME_SECRET_KEY is missing or shorter than 32 characters. Create one with "
            "`python3 -c 'import secrets; print(secrets.token_urlsafe(48))'`, or let bin/up create it."
        )
    return key


SECRET_KEY = _secret_key()
# The key before the last rotation: what it signed or encrypted stays readable.
SECRET_KEY_FALLBACKS = [key] if (key := env.text("LEFT4ME_OLD_SECRET_KEY")) else []
LEFT4ME_SEALING_KEY = env.text("LEFT4ME_SEALING_KEY")
if LEFT4ME_SEALING_KEY and not secrets.is_sealing_key(LEFT4ME_SEALING_KEY):
    raise Misconfigured("LEFT4ME_SEALING_KEY is not a valid key. Copy it from the output of `left4mectl host add`.")
if not LEFT4ME_BIND.is_loopback:
    if DEBUG:
        raise Misconfigured(
            "LEFT4ME_DEBUG shows secrets to visitors. Unset it, or set LEFT4ME_BIND to 127.0.0.1:8000."
        )
    if "*" in ALLOWED_HOSTS:
        raise Misconfigured("LEFT4ME_ALLOWED_HOSTS=* trusts any Host header. List your host names instead.")

# --- the application ------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "left4me.site.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "template_partials",
    "csp",
    "left4me.site.apps.Left4meConfig",
    "left4me.audit",
    "left4me.alerts",
    "left4me.jobs",
    "accounts",
    "workshop",
    "overlays",
    "servers",
    "livestate",
    "livestate.bans",
    "livestate.demos",
    "livestate.matches",
    "livestate.rotation",
    "left4me.importer",
    "left4me.backups",
    "left4me.schedules",
    "left4me.status_pages",
]
MIDDLEWARE = [
    "left4me.site.middleware.request_log.RequestLog",
    "left4me.core.net.addresses.ForwardedAddress",
    "left4me.site.middleware.exceptions.ApiProblems",
    "left4me.site.middleware.exceptions.PlainQueries",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "left4me.site.middleware.htmx.CompressedPages",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.SignInFirst",
    "accounts.middleware.TimeZone",
    "accounts.middleware.LastSeen",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "left4me.site.middleware.htmx.HtmxAnswers",
    "left4me.site.middleware.exceptions.ExceptionResponses",
]
ROOT_URLCONF = "left4me.urls"
WSGI_APPLICATION = "left4me.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "left4me" / "site" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["left4me.site.templatetags.ui"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "left4me.site.views.site_context",
            ],
        },
    }
]

# --- database, broker -----------------------------------------------------------------------------------------

_usual_database = f"sqlite:///{quote(str(LEFT4ME_ROOT / 'left4me.sqlite3'))}"
DATABASES = {"default": database_from_url(env.text("DATABASE_URL") or _usual_database)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = env.url("REDIS_URL", f"unix://{broker.socket_path(LEFT4ME_ROOT)}", schemes=["redis", "rediss", "unix"])
CACHES = {"default": {"BACKEND": "left4me.core.redis.json_cache.JsonCache", "LOCATION": REDIS_URL}}

# --- accounts and sessions ------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
PASSWORD_HASHERS = ["accounts.secrets.Argon2"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "accounts:login"
LOGIN_REDIRECT_URL = "dashboard"
LOGOUT_REDIRECT_URL = "accounts:login"
SESSION_ENGINE = "accounts.sessions"
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LEFT4ME_BEHIND_TLS
CSRF_FAILURE_VIEW = "left4me.site.error_pages.csrf_failure"
SESSION_COOKIE_AGE = 60 * 60 * 24 * 14

# --- what a browser may do ------------------------------------------------------------------------------------

CONTENT_SECURITY_POLICY = content_policy.PAGES
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if LEFT4ME_BEHIND_TLS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 60 * 60 * 24 * 365

# --- files, language, time ------------------------------------------------------------------------------------

STATIC_URL = "/static/"
# A release brings its own, so that a web which still runs keeps its files while the next release lies beside it.
_usual_static = (BASE_DIR if (BASE_DIR / "RELEASE").is_file() else LEFT4ME_ROOT) / "static"
STATIC_ROOT = Path(env.text("LEFT4ME_STATIC_ROOT") or _usual_static).absolute()
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "left4me.site.bundles.JoinedStaticFiles"},
}
# Pages name the hashed files only, so the others need no room and no compressing.
WHITENOISE_KEEP_ONLY_HASHED_FILES = True
LANGUAGE_CODE = "en"
# Named in themselves, so that whoever needs one of them finds it. left4me/locale and <app>/locale hold the catalogs.
LANGUAGES = [("en", "English"), ("de", "Deutsch"), ("zh-hans", "简体中文")]
LOCALE_PATHS = [BASE_DIR / "left4me" / "locale"]
USE_I18N = USE_TZ = True
TIME_ZONE = "UTC"

# --- Steam ----------------------------------------------------------------------------------------------------

LEFT4ME_STEAM_API_URL = env.url("LEFT4ME_STEAM_API_URL", "https://api.steampowered.com", schemes=["https", "http"])
LEFT4ME_STEAM_CONTENT_HOSTS = env.words(
    "LEFT4ME_STEAM_CONTENT_HOSTS",
    [".steamusercontent.com", ".steamstatic.com", "steamusercontent-a.akamaihd.net", "steamuserimages-a.akamaihd.net"],
)
STEAM_WEB_API_KEY = env.text("STEAM_WEB_API_KEY")
# Where Steam confirms who somebody is. With the simulated game this site simulates that as well.
_simulated_steam = f"http://{LEFT4ME_BIND.here}/simulated-steam"
_steam_sign_in = {"steam": "https://steamcommunity.com/openid", "simulated": _simulated_steam}
LEFT4ME_STEAM_OPENID_URL = env.url("LEFT4ME_STEAM_OPENID_URL", _steam_sign_in[LEFT4ME_GAME], schemes=["https", "http"])
SIMULATED_STEAM_URLS = "servers.simulated.steam_sign_in" if LEFT4ME_GAME == "simulated" else ""
# An account that owns the game: the way out where Steam gives it to no anonymous login.
LEFT4ME_STEAM_USERNAME = env.text("LEFT4ME_STEAM_USERNAME")
LEFT4ME_STEAM_PASSWORD = env.text("LEFT4ME_STEAM_PASSWORD")

# --- alerts and mail ------------------------------------------------------------------------------------------

# Origins such as http://127.0.0.1:9000 of webhooks and archives that are not on the public internet.
LEFT4ME_ALERT_ORIGINS = env.origins("LEFT4ME_ALERT_ORIGINS")
LEFT4ME_ARCHIVE_ORIGINS = env.origins("LEFT4ME_ARCHIVE_ORIGINS")
# What nobody took for so long is dropped.
LEFT4ME_ALERT_DAYS = env.number("LEFT4ME_ALERT_DAYS", 2, least=1, most=30)
# A server that has written more is stopped. In both, 0 means: never.
LEFT4ME_SERVER_DISK_GB = env.number("LEFT4ME_SERVER_DISK_GB", 20, least=0, most=100_000)
LEFT4ME_DISK_LOW_GB = env.number("LEFT4ME_DISK_LOW_GB", 5, least=0, most=100_000)


def _public_url() -> str:
    name = next((each for each in ALLOWED_HOSTS if not each.startswith((".", "*"))), "localhost")
    return f"https://{name}" if LEFT4ME_BEHIND_TLS else LEFT4ME_BIND.url_as(name)


# Links in alerts begin with it: whoever sends them knows no request.
LEFT4ME_PUBLIC_URL = env.url("LEFT4ME_PUBLIC_URL", _public_url(), schemes=["https", "http"])
_mail = env.mail("EMAIL_URL")
LEFT4ME_SENDS_MAIL = bool(_mail)
# Without an address, what EMAIL_* settings Django has by itself stand, and nothing is sent.
globals().update(_mail or {"EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend"})
EMAIL_TIMEOUT = 5  # A mail server that hangs must not hold the round of alerts.
DEFAULT_FROM_EMAIL = env.text("LEFT4ME_MAIL_FROM") or f"left4me@{urlsplit(LEFT4ME_PUBLIC_URL).hostname}"

# --- rhythm ---------------------------------------------------------------------------------------------------

LEFT4ME_JOB_SLOTS = env.number("LEFT4ME_JOB_SLOTS", 4, least=1, most=64)
LEFT4ME_JOBS_WAITING_PER_USER = env.number("LEFT4ME_JOBS_WAITING_PER_USER", 200, least=1, most=100_000)
LEFT4ME_SHUTDOWN_SECONDS = env.number("LEFT4ME_SHUTDOWN_SECONDS", 20, least=0, most=3600)
LEFT4ME_JOB_LOG_DAYS = env.number("LEFT4ME_JOB_LOG_DAYS", 90, least=1, most=3650)
LEFT4ME_JOB_DAYS = env.number("LEFT4ME_JOB_DAYS", 365, least=1, most=3650)
LEFT4ME_STREAMS_PER_USER = env.number("LEFT4ME_STREAMS_PER_USER", 20, least=1, most=100_000)
LEFT4ME_STATUS_SECONDS = env.number("LEFT4ME_STATUS_SECONDS", 8, least=1, most=3600)
LEFT4ME_POLL_SECONDS = env.number("LEFT4ME_POLL_SECONDS", 5, least=1, most=3600)
LEFT4ME_POLL_TIMEOUT_SECONDS = env.number("LEFT4ME_POLL_TIMEOUT_SECONDS", 2, least=1, most=60)
LEFT4ME_STALE_SECONDS = env.number("LEFT4ME_STALE_SECONDS", 30, least=1, most=86400)
LEFT4ME_HISTORY_DAYS = env.number("LEFT4ME_HISTORY_DAYS", 30, least=1, most=3650)
LEFT4ME_STUCK_SESSION_SECONDS = env.number("LEFT4ME_STUCK_SESSION_SECONDS", 60, least=5, most=86400)
LEFT4ME_PROFILE_TTL_SECONDS = env.number("LEFT4ME_PROFILE_TTL_SECONDS", 86400, least=60, most=31536000)
LEFT4ME_WORKSHOP_REFRESH_SECONDS = env.number("LEFT4ME_WORKSHOP_REFRESH_SECONDS", 86400, least=0, most=31536000)
# How often each host asks for the newest build of the game; 0: never.
LEFT4ME_GAME_CHECK_SECONDS = env.number("LEFT4ME_GAME_CHECK_SECONDS", 3600, least=0, most=31536000)
# After so many days, files of items that no overlay holds, and logs and crash dumps of games, are deleted; 0: never.
LEFT4ME_WORKSHOP_CACHE_DAYS = env.number("LEFT4ME_WORKSHOP_CACHE_DAYS", 30, least=0, most=36500)
LEFT4ME_GAME_LOG_DAYS = env.number("LEFT4ME_GAME_LOG_DAYS", 90, least=0, most=36500)
LEFT4ME_DEMO_DAYS = env.number("LEFT4ME_DEMO_DAYS", 30, least=0, most=36500)  # 0 in this and the next: no limit
LEFT4ME_DEMO_GB = env.number("LEFT4ME_DEMO_GB", 10, least=0, most=100_000)
LEFT4ME_DEMOS_GB = env.number("LEFT4ME_DEMOS_GB", 50, least=1, most=100_000)
# What one user's files overlays may hold together, and one uploaded file; what their backups may; in megabytes.
LEFT4ME_UPLOAD_QUOTA_MB = env.number("LEFT4ME_UPLOAD_QUOTA_MB", 20_000, least=1, most=100_000_000)
LEFT4ME_BACKUP_QUOTA_MB = env.number("LEFT4ME_BACKUP_QUOTA_MB", 20_000, least=1, most=100_000_000)
LEFT4ME_SERVERS_PER_USER = env.number("LEFT4ME_SERVERS_PER_USER", 0, least=0, most=100_000)  # 0 in these: no limit
LEFT4ME_RUNNING_SERVERS_PER_USER = env.number("LEFT4ME_RUNNING_SERVERS_PER_USER", 0, least=0, most=100_000)
LEFT4ME_MEMORY_PER_USER_MB = env.number("LEFT4ME_MEMORY_PER_USER_MB", 0, least=0, most=100_000_000)
LEFT4ME_HOST_COPIES_GB = env.number("LEFT4ME_HOST_COPIES_GB", 100, least=0, most=100_000)  # 0: none are made
LEFT4ME_HOST_COPY_GB = env.number("LEFT4ME_HOST_COPY_GB", 20, least=1, most=100_000)
_import_from = ["/home", "/srv", "/opt", *(f"/var/lib/{panel}/volumes" for panel in ("pterodactyl", "pelican"))]
LEFT4ME_IMPORT_FROM = env.folders("LEFT4ME_IMPORT_FROM", _import_from)

CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = keys.host_queue(LEFT4ME_HOST)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# Running jobs go on without the broker, so a worker must not give up because it is away for long.
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# A request must not hang on a broker that does not answer: workers also find jobs whose message was not sent.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "max_retries": 0,
    "visibility_timeout": 3600,
    **keys.unacknowledged(LEFT4ME_HOST),
    **keepalive.for_redis(REDIS_URL),
}
# Remote control of Celery, for `celery inspect` and Flower, which asks by it for events of tasks: a fifth of what a
# message costs. All applications of a Redis share its channels, so it is on where Redis is this machine's alone.
_is_own_redis = urlsplit(REDIS_URL).scheme == "unix" and not urlsplit(REDIS_URL).password
LEFT4ME_CELERY_MONITORING = env.flag("LEFT4ME_CELERY_MONITORING", default=_is_own_redis)
CELERY_WORKER_ENABLE_REMOTE_CONTROL = LEFT4ME_CELERY_MONITORING
CELERY_WORKER_POOL = "threads"
CELERY_WORKER_CONSUMER = "left4me.jobs.tasks:PromptConsumer"
# Jobs take LEFT4ME_JOB_SLOTS of these threads at most: periodic tasks (polls, refreshes, sweeps) never wait for them.
CELERY_WORKER_CONCURRENCY = LEFT4ME_JOB_SLOTS + 4
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# Messages are acknowledged early, so long jobs hold none of those that a worker may prefetch.
CELERY_WORKER_ENABLE_PREFETCH_COUNT_REDUCTION = False
# Celery would open a new connection to the database for every task; left4me/celery.py closes those that broke.
CELERY_DB_REUSE_MAX = 1_000_000_000
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "celery.beat.Scheduler"


def _periodic(task: str, schedule: float | crontab, *arguments: object) -> dict[str, object]:
    # Expires just under the period: what a busy or absent worker has not taken by then must not pile up.
    expires = 3000.0 if isinstance(schedule, crontab) else schedule * 0.9
    return {"task": task, "schedule": schedule, "args": list(arguments), "options": {"expires": expires}}


CELERY_BEAT_SCHEDULE: dict[str, dict[str, object]] = {
    "pulse": _periodic("left4me.pulse", 5.0),
    "measure-database": _periodic("left4me.measure_database", 300.0),
    # Before the nightly backup.
    "check-database": _periodic("left4me.check_database", crontab(hour="2", minute="43")),
    "servers-refresh": _periodic(
        "servers.ask_hosts", LEFT4ME_STATUS_SECONDS, "servers.refresh", LEFT4ME_STATUS_SECONDS
    ),
    "servers-apply-game-access": _periodic("servers.ask_hosts", 5.0, "servers.apply_game_access", 5.0),
    "servers-watch-hosts": _periodic("servers.watch_hosts", 15.0),
    "servers-prune": _periodic("servers.prune", crontab(hour="4", minute="27")),
    "servers-measure-folders": _periodic("servers.ask_hosts", 300.0, "servers.measure_folders", 300),
    "servers-tidy": _periodic("servers.ask_hosts", crontab(hour="4", minute="47"), "servers.tidy", 3600),
    "servers-forget-moves": _periodic("servers.forget_moves", 300.0),
    "servers-copy-due": _periodic("servers.copy_due", 300.0),
    "schedules-tick": _periodic("left4me.schedules.tick", 5.0),
    "schedules-prune": _periodic("left4me.schedules.prune", crontab(hour="5", minute="7")),
    "alerts-send": _periodic("left4me.alerts.send", 5.0),
    "status-pages-send": _periodic("left4me.status_pages.send", 5.0),
    "alerts-prune": _periodic("left4me.alerts.prune", crontab(hour="4", minute="57")),
    "jobs-sweep": _periodic("left4me.jobs.sweep", 10.0),
    "livestate-bans": _periodic("servers.ask_hosts", 5.0, "livestate.bans.apply", 5),
    "livestate-matches": _periodic("servers.ask_hosts", 5.0, "livestate.matches.attend", 5),
    "livestate-matches-prune": _periodic("livestate.matches.prune", crontab(hour="5", minute="33")),
    "livestate-bans-prune": _periodic("livestate.bans.prune", crontab(hour="5", minute="17")),
    "livestate-rotation": _periodic("livestate.rotation.follow", 5.0),
    "demos-look": _periodic("servers.ask_hosts", 60.0, "livestate.demos.look", 60),
    "demos-tidy": _periodic("servers.ask_hosts", crontab(hour="4", minute="51"), "livestate.demos.tidy", 3600),
    "livestate-poll": _periodic("servers.ask_hosts", LEFT4ME_POLL_SECONDS, "livestate.poll", LEFT4ME_POLL_SECONDS),
    "livestate-profiles": _periodic("livestate.profiles", 20.0),
    "livestate-prune": _periodic("livestate.prune", crontab(minute="37")),
    "jobs-prune": _periodic("left4me.jobs.prune", crontab(hour="4", minute="17")),
    "audit-prune": _periodic("left4me.audit.prune", crontab(hour="4", minute="27")),
    "accounts-prune": _periodic("accounts.prune", crontab(hour="4", minute="37")),
    "backups-tidy": _periodic("servers.ask_hosts", crontab(hour="5", minute="41"), "backups.tidy", 3600),
    "overlays-tidy": _periodic("overlays.tidy", crontab(hour="5", minute="23")),
    "overlays-inspect-old": _periodic("overlays.inspect_old", 600.0),
}
if LEFT4ME_WORKSHOP_REFRESH_SECONDS:
    # Looks more often than it refreshes: a refresh that was missed while the machine was off comes soon after.
    _every = float(min(LEFT4ME_WORKSHOP_REFRESH_SECONDS, 300))
    CELERY_BEAT_SCHEDULE["workshop-refresh"] = _periodic("overlays.refresh_when_due", _every)
if LEFT4ME_GAME_CHECK_SECONDS:
    # Each host decides whether a check is due, or a failed one is tried again.
    _every = min(LEFT4ME_GAME_CHECK_SECONDS, 60)
    CELERY_BEAT_SCHEDULE["servers-check-game"] = _periodic("servers.ask_hosts", _every, "servers.check_game", _every)

LOGGING = logbook.configuration(env.choice("LEFT4ME_LOG_FORMAT", ["plain", "json"], "plain"))
