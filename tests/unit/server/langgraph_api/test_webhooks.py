"""Which webhooks are called."""

from typing import Any

import pytest

from octopus_graph_server import ServerSettings
from octopus_graph_server.langgraph_api.webhooks import Webhooks, signature
from octopus_graph_server.problems import UnprocessableError


class Service:
    def __init__(self, **settings: Any) -> None:
        self.settings = ServerSettings(**settings)


def webhooks(**settings: Any) -> Webhooks:
    return Webhooks(Service(**settings))  # type: ignore[arg-type]


async def test_no_webhook_is_always_fine() -> None:
    await webhooks().check(None)


async def test_without_a_secret_none_is_called() -> None:
    with pytest.raises(UnprocessableError, match="webhook_secret"):
        await webhooks(webhook_hosts=["*"]).check("https://93.184.216.34/")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://10.0.0.8/",
        "http://169.254.169.254/latest/meta-data",
        "http://192.168.1.1/",
        "http://0.0.0.0/",
        "http://[::ffff:127.0.0.1]/",
        "http://2130706433/",
        "http://localhost/",
    ],
)
async def test_private_addresses_are_refused_whatever_the_hosts(url: str) -> None:
    with pytest.raises(UnprocessableError, match=r"private network|cannot be found"):
        await webhooks(webhook_hosts=["*"], webhook_secret="s").check(url)


async def test_hosts_are_matched_as_a_whole() -> None:
    hooks = webhooks(webhook_hosts=["*.example.com"], webhook_secret="s", webhook_private=True)
    for url in ("https://example.com.evil.org/", "https://evil.org/#.example.com", "https://a.example.com@evil.org/"):
        with pytest.raises(UnprocessableError, match="webhook_hosts"):
            await hooks.check(url)


async def test_a_public_address_is_taken() -> None:
    await webhooks(webhook_hosts=["93.184.216.34"], webhook_secret="s").check("https://93.184.216.34/hook")


def test_the_signature_is_what_openssl_makes() -> None:
    assert signature("key", "id", 1, b"{}") == "v1,5PVmP2AfJGwnp9flV+flrzfukNWA9zyUdqvI+IQalVs="
