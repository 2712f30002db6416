"""Servers and a Redis on machines of their own: network namespaces, joined by two switches.

    cache network  10.71.0.0/24   Redis at .1, the Server of host n at .10 + n
    peer network   10.71.1.0/24   the Server of host n at .10 + n

A port of a switch that is closed passes nothing in either direction and tells nobody, as a cable that was
pulled elsewhere. Devices are not in these networks: they reach each host by a way of their own.

Namespaces have no names and belong to the process that made them: they are gone with it, however it ends,
and nothing of the machine's own network is touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

import pytest
from balancers import program
from processes import Redis, accepts

CACHE_NETWORK, PEER_NETWORK = 0, 1
_CLONE_NEWNET = 0x40000000


def _enter_new_namespace() -> int:
    """Of this thread; a descriptor of it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Namespace:
    def __init__(self) -> None:
        self._inside = ThreadPoolExecutor(1)
        try:
            self._descriptor = self.call(_enter_new_namespace)
        except BaseException:
            self._inside.shutdown()
            raise
        self.path = f"/proc/{os.getpid()}/fd/{self._descriptor}"
        self.launcher = (program("nsenter"), f"--net={self.path}")
        self.run("ip", "link", "set", "lo", "up")

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Runs it in a thread that lives inside; sockets made there stay there."""
        return self._inside.submit(function, *arguments).result()

    def run(self, name: str, *arguments: str) -> None:
        command = [*self.launcher, program(name), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stderr)

    def close(self) -> None:
        self._inside.shutdown()
        os.close(self._descriptor)


class Host(Namespace):
    """A machine with a card in each network."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.address = f"10.71.{PEER_NETWORK}.{10 + number}"


class PrivateNetwork:
    """Use as `with`. Skips the test where this process may make no namespaces."""

    redis_address = f"10.71.{CACHE_NETWORK}.1"

    def __init__(self, hosts: int) -> None:
        self._open = contextlib.ExitStack()
        try:
            self.middle = self._opened(Namespace())
            for network in (CACHE_NETWORK, PEER_NETWORK):
                self.middle.run("ip", "link", "add", f"switch{network}", "type", "bridge")
                self.middle.run("ip", "link", "set", f"switch{network}", "up")
            self.middle.run("ip", "address", "add", f"{self.redis_address}/24", "dev", "switch0")
            self.hosts = [self._opened(Host(number)) for number in range(hosts)]
            for host in self.hosts:
                for network in (CACHE_NETWORK, PEER_NETWORK):
                    self._connect(host, network)
        except PermissionError as fault:
            self._open.close()
            pytest.skip(f"this process may make no network namespaces: {fault}")
        except BaseException:
            self._open.close()
            raise

    def _opened(self, namespace: Any) -> Any:
        self._open.callback(namespace.close)
        return namespace

    def __enter__(self) -> PrivateNetwork:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _connect(self, host: Host, network: int) -> None:
        port, card = f"port{network}-{host.number}", f"card{network}"
        peer = ("type", "veth", "peer", "name", card, "netns", host.path)
        self.middle.run("ip", "link", "add", port, *peer)
        self.middle.run("ip", "link", "set", port, "master", f"switch{network}", "up")
        host.run("ip", "address", "add", f"10.71.{network}.{10 + host.number}/24", "dev", card)
        host.run("ip", "link", "set", card, "up")

    def cut(self, host: Host, *networks: int) -> None:
        self._set_ports(host, networks, "disabled")

    def heal(self, host: Host, *networks: int) -> None:
        self._set_ports(host, networks, "forwarding")

    def _set_ports(self, host: Host, networks: tuple[int, ...], state: str) -> None:
        for network in networks:
            self.middle.run("bridge", "link", "set", "dev", f"port{network}-{host.number}", "state", state)


class RedisInside(Redis):
    def __init__(self, folder: Path, network: PrivateNetwork) -> None:
        self._middle = network.middle
        super().__init__(folder, host=network.redis_address, launcher=network.middle.launcher)

    def accepts(self) -> bool:
        return bool(self._middle.call(accepts, self.port, self.host))


class Ways:
    """How devices reach what listens inside: an address of 127.0.0.1 for each. Use as `async with`."""

    async def __aenter__(self) -> Ways:
        self._listeners: list[asyncio.AbstractServer] = []
        self._writers: list[asyncio.StreamWriter] = []
        return self

    async def __aexit__(self, *_: object) -> None:
        for end in (*self._listeners, *self._writers):
            end.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)
        for listener in self._listeners:
            await listener.wait_closed()

    async def to(self, host: Host, address: str) -> str:
        """The URL by which `address` is reached from outside."""
        name, port = address.rsplit(":", 1)

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._writers.append(writer)
            inner = host.call(socket.socket)
            inner.setblocking(False)
            try:
                await asyncio.get_running_loop().sock_connect(inner, (name, int(port)))
            except OSError:
                inner.close()
                writer.close()
                return
            from_inside, to_inside = await asyncio.open_connection(sock=inner)
            self._writers.append(to_inside)
            await asyncio.gather(_pump(reader, to_inside), _pump(from_inside, writer))

        listener = await asyncio.start_server(carry, "127.0.0.1", 0)
        self._listeners.append(listener)
        port_outside = listener.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port_outside}"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until one end is gone: then both are."""
    with contextlib.suppress(OSError):
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
    writer.close()
