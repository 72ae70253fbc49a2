"""Publishes releases on a machine of the tests: `bin/release` builds them there, and an https server offers them."""

from __future__ import annotations

from deploy.tests.machines import Machine, at_origin

ADDRESS = "https://releases.left4me.test:8443"
FOLDER = "/srv/published"
KEY = "/root/release-key"

# A certificate of its own authority, which the machine trusts from now on.
_PREPARE = f"""
set -e
mkdir -p {FOLDER} /root/tls && cd /root/tls
grep -q releases.left4me.test /etc/hosts || echo 127.0.0.1 releases.left4me.test >>/etc/hosts
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -keyout key.pem -out cert.pem \
  -subj /CN=releases.left4me.test -addext subjectAltName=DNS:releases.left4me.test 2>/dev/null
cat cert.pem >>/etc/ssl/certs/ca-certificates.crt
[ -e {KEY} ] || ssh-keygen -q -t ed25519 -N '' -C releases -f {KEY}
systemd-run --quiet --unit=releases --working-directory={FOLDER} \
  python3 /root/inside/https_server.py 8443 /root/tls $CUT
"""
_SET_VERSION = r"""
sed -i 's/^version = .*/version = "{version}"/' pyproject.toml
sed -i 's/^PROJECT_VERSION = .*/PROJECT_VERSION = "{version}"/' left4me/core/version.py
sed -i 's/^ARG RELEASE=.*/ARG RELEASE={version}/' deploy/container/Dockerfile
sed -i 's/^   "version": "[^"]*"$/   "version": "{version}"/' sbom.json
sed -i '0,/^## Unreleased$/s//## Unreleased\n\n## {version}\n\n- Entry of {version}./' CHANGELOG.md
git commit --quiet --all --message 'Release {version}'
rm -rf dist && python3 -B -m deploy.release {version} --sign {key}
mkdir -p {folder}/{version} && cp dist/* {folder}/{version}/
"""


def prepare(machine: Machine, *, cut: bool) -> None:
    """Serve what will be published; /root/inside must be there. With `cut`, each archive breaks off once."""
    machine.sh(f"CUT={'cut' if cut else ''}\n{_PREPARE}")


def publish(machine: Machine, version: str) -> str:
    """Release what is committed, as CONTRIBUTING.md says, signed; returns the path of the archive below FOLDER."""
    machine.sh(at_origin(_SET_VERSION.format(version=version, key=KEY, folder=FOLDER)))
    return f"{version}/left4me-{version}.tar.gz"


def trust(machine: Machine) -> None:
    """Have the machine take signed releases only."""
    machine.sh(
        f'printf \'releases namespaces="left4me-release" %s\\n\' "$(cat {KEY}.pub)" >/etc/left4me/allowed_signers'
    )
