"""The registry of this run: the server trusts its certificate, and nobody gets in without the password."""

import os

import pytest

NAMES = ("E2E_REGISTRY", "E2E_REGISTRY_USER", "E2E_REGISTRY_PASSWORD")


def registry():
    """Returns its address, user and password."""
    for name in NAMES:
        if not os.environ.get(name):
            pytest.skip(f"{name} is not set: `cargo x e2e` starts a registry and says where it is")
    return tuple(os.environ[name] for name in NAMES)


def base():
    """Returns the image that it has: a busybox, with FROM_BASE=yes in its environment."""
    return f"{registry()[0]}/base/tiny:1"
