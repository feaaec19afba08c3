"""Webhooks: a run's end told to another server, signed as standardwebhooks.com describes it.

    webhook-id          the run
    webhook-timestamp   seconds since 1970; receivers refuse what is old
    webhook-signature   v1,base64(HMAC-SHA256(secret, "{id}.{timestamp}.{body}"))

Only hosts that the settings name are called, at the very address that was checked, and never one of this network unless
the settings say so: a client must not reach through this server what it could not reach itself.
"""

import asyncio
import base64
import fnmatch
import hashlib
import hmac
import ipaddress
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import httpx

from octopus_graph.persistence.records import Document
from octopus_graph_server.langgraph_api.shapes import dumps, iso
from octopus_graph_server.logs import log
from octopus_graph_server.problems import UnprocessableError
from octopus_graph_server.service import Service

__all__ = ["Webhooks", "signature"]

ATTEMPTS = 3
TIMEOUT = 5.0


def signature(secret: str, message: str, timestamp: int, body: bytes) -> str:
    """Signs a message."""
    signed = f"{message}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret.encode(), signed, hashlib.sha256)).decode()


class Webhooks:
    """Calls webhooks."""

    def __init__(self, service: Service) -> None:
        """Takes the settings: the hosts, the secret, and whether this network may be called."""
        self._settings = service.settings

    async def check(self, url: str | None) -> None:
        """Refuses a webhook that will not be called.

        Raises:
            UnprocessableError: If its host is not among those allowed, or lies in this network.
        """
        if url is not None:
            await self._address(url)

    async def send(self, url: str, run: Document, values: Any, error: Any, started: float) -> None:
        """Tells of a run's end, three times at most."""
        shown = {key: one for key, one in run.items() if key in _SHOWN}
        body = dumps(
            {
                **shown,
                "created_at": iso(run["created_at"]),
                "updated_at": iso(run["updated_at"]),
                "run_started_at": iso(started),
                "run_ended_at": iso(time.time()),
                "webhook_sent_at": iso(time.time()),
                "values": values,
                "error": error,
            }
        )
        said = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(0.5 * 4 ** (attempt - 1))
            try:
                status = await self._post(url, run["run_id"], body)
            except (httpx.HTTPError, UnprocessableError) as failed:
                said = type(failed).__name__
                continue
            if status < 500:
                log().info("webhook", run_id=run["run_id"], status=status)
                return
            said = str(status)
        log().warning("webhook not delivered", run_id=run["run_id"], error=said)

    async def _post(self, url: str, message: str, body: bytes) -> int:
        address = await self._address(url)  # looked up again, and then called by number: names change
        parts = urlsplit(url)
        target = httpx.URL(url).copy_with(host=address)
        now = int(time.time())
        headers = {
            "host": parts.netloc.rpartition("@")[2],
            "content-type": "application/json",
            "webhook-id": message,
            "webhook-timestamp": str(now),
            "webhook-signature": signature(self._secret, message, now, body),
        }
        async with httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False, trust_env=False) as client:
            reply = await client.post(
                target, content=body, headers=headers, extensions={"sni_hostname": parts.hostname or ""}
            )
            return reply.status_code

    async def _address(self, url: str) -> str:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            raise UnprocessableError("The webhook is not a URL.", param="webhook") from None
        if parts.scheme not in ("http", "https") or not host:
            raise UnprocessableError("A webhook begins with https:// or http://.", param="webhook")
        if not self._secret:
            raise UnprocessableError("This server has no webhook_secret, so it calls no webhooks.", param="webhook")
        if not any(fnmatch.fnmatchcase(host, allowed) for allowed in self._settings.webhook_hosts):
            raise UnprocessableError("The webhook's host is not among webhook_hosts of this server.", param="webhook")
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            raise UnprocessableError("The webhook's host cannot be found.", param="webhook") from None
        addresses = [str(one[4][0]) for one in found]
        if not self._settings.webhook_private and not all(ipaddress.ip_address(one).is_global for one in addresses):
            raise UnprocessableError("The webhook's host lies in a private network.", param="webhook")
        return addresses[0]

    @property
    def _secret(self) -> str:
        secret = self._settings.webhook_secret
        return secret.get_secret_value() if secret else ""


_SHOWN = frozenset({"run_id", "thread_id", "assistant_id", "status", "metadata", "multitask_strategy", "kwargs"})
