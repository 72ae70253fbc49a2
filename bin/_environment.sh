# shellcheck shell=bash
# Sourced by the scripts beside it: finds Python, makes .venv, installs what a lock file says.

say() { printf '%s\n' "$*" >&2; }
fail() { say "$(basename "$0"): $*"; exit 1; }

is_root() { [ "$(id -u)" = 0 ]; }

apt_install() { # apt_install PACKAGE...: installs when root, otherwise fails so that the caller can say the command
  is_root && command -v apt-get >/dev/null || return 1
  say "installing $* with apt-get"
  DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 update >/dev/null &&
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@" >/dev/null
}

find_python() {
  local candidate
  for candidate in ${LEFT4ME_PYTHON:-} python3 python3.11 python3.12 python3.13; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  fail "Python 3.11 or newer was not found. Install it (\`apt-get install python3 python3-venv\`), or name it in LEFT4ME_PYTHON."
}

make_venv() {
  [ -x .venv/bin/python ] && .venv/bin/python -c '' 2>/dev/null && return
  [ -w . ] || fail "$PWD cannot be written. Clone left4me into a directory of your own."
  local python
  python=$(find_python)
  say "making .venv with $("$python" --version)"
  rm -rf .venv
  if "$python" -c 'import ensurepip' 2>/dev/null || apt_install python3-venv; then
    "$python" -m venv .venv || fail "making .venv failed; the lines above say why."
  else
    say "going on with pip out of Debian's package, because this needs root: sudo apt-get install python3-venv"
    venv_without_root "$python" || {
      rm -rf .venv
      fail "Debian's package of pip cannot be fetched either. Run \`sudo apt-get install python3-venv\` and start again."
    }
  fi
}

# What python3-venv would bring is in a package of Debian's, which everybody may fetch and unpack; apt checks its signature.
venv_without_root() { # venv_without_root PYTHON
  local place status=0
  place=$(mktemp -d)
  (
    cd "$place"
    mkdir -p lists/partial cache/archives/partial
    printf 'Dir::State::Lists "%s/lists";\nDir::Cache "%s/cache";\n' "$place" "$place" >apt.conf
    export APT_CONFIG=$place/apt.conf
    apt-get -qq update && apt-get -qq download python3-pip-whl && dpkg-deb --extract python3-pip-whl_*.deb .
  ) >"$place/log" 2>&1 || { tail -n 3 "$place/log" >&2; status=1; }
  if [ $status = 0 ]; then
    local wheel
    wheel=$(echo "$place"/usr/share/python-wheels/pip-*.whl)
    { "$1" -m venv --without-pip .venv &&
      .venv/bin/python "$wheel/pip" install --quiet --disable-pip-version-check --no-index --no-deps "$wheel"; } >&2 || status=1
  fi
  rm -rf "$place"
  return $status
}

install_locked() { # install_locked requirements.txt: only when the lock file is not what is installed
  local lock=$1 stamp=.venv/.installed-$1 want
  want=$(sha256sum <"$lock")
  [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && return
  say "installing the packages of $lock"
  # The lock is closed: it names everything that its packages need. Without --no-deps pip would check that again against
  # the index, and versions of pip disagree about requirements with extras. `pip check` holds the result together.
  if ! { .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$lock" &&
    .venv/bin/python -m pip --disable-pip-version-check check; } >.venv/install.log 2>&1; then
    tail -n 5 .venv/install.log >&2
    if grep -qiE 'connection|resolve|network|timed out|retries' .venv/install.log; then
      fail "the package index cannot be reached. Check this machine's network or proxy and start again; nothing is lost."
    fi
    fail "installing packages failed; .venv/install.log has the whole story."
  fi
  printf '%s' "$want" >"$stamp"
  # The development lock holds the same pins and more.
  if [ "$lock" = requirements-dev.txt ]; then sha256sum <requirements.txt | tr -d '\n' >.venv/.installed-requirements.txt; fi
}
