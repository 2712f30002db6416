"""Redis in several processes: a master, a replica and sentinels; the nodes of a Redis Cluster."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from pathlib import Path
from typing import Any

import redis
from free_ports import free_port
from processes import Process, accepts
from waiting import eventually

MASTER = "mymaster"
_OPTIONS = ("--bind", "127.0.0.1", "--save", "", "--protected-mode", "no", "--appendonly", "no")


class Member(Process):
    """A redis-server of any kind."""

    def __init__(self, folder: Path, name: str, *options: str, config: str = "") -> None:
        self.port = free_port()
        self.folder = folder / name
        self.folder.mkdir()
        command = ["redis-server"]
        if config:
            file = self.folder / "redis.conf"
            file.write_text(config)
            command.append(str(file))
        command += [*_OPTIONS] if not config else ["--bind", "127.0.0.1"]
        command += ["--port", str(self.port), "--dir", str(self.folder), *options]
        super().__init__(command, folder / f"{name}.log")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def client(self) -> Any:
        return redis.Redis(port=self.port, socket_timeout=5, decode_responses=True)

    def start(self) -> None:
        super().start()
        self.wait_until(lambda: accepts(self.port))


class WatchedRedis:
    """A master and a replica that keep nothing on disk, watched by three sentinels."""

    def __init__(self, folder: Path, password: str = "", sentinel_password: str = "") -> None:
        self._login = password
        auth = ["--requirepass", password, "--masterauth", password] if password else []
        fast = ["--repl-diskless-sync-delay", "0"]
        self.master = Member(folder, "master", *auth, *fast)
        replica_of = ("--replicaof", f"127.0.0.1 {self.master.port}")
        self.replica = Member(folder, "replica", *auth, *fast, *replica_of)
        lines = [
            f"sentinel monitor {MASTER} 127.0.0.1 {self.master.port} 2",
            f"sentinel down-after-milliseconds {MASTER} 1000",
            f"sentinel failover-timeout {MASTER} 5000",
        ]
        lines += [f"sentinel auth-pass {MASTER} {password}"] if password else []
        lines += [f"requirepass {sentinel_password}"] if sentinel_password else []
        self.sentinels = [
            Member(folder, f"sentinel{i}", "--sentinel", config="\n".join(lines) + "\n") for i in range(3)
        ]
        self._sentinel_login = sentinel_password

    @property
    def members(self) -> list[Member]:
        return [self.master, self.replica, *self.sentinels]

    @property
    def address(self) -> str:
        """Of the sentinels."""
        return ",".join(sentinel.address for sentinel in self.sentinels)

    @property
    def port(self) -> int:
        """Of the master at first."""
        return self.master.port

    def of(self, member: Member) -> Any:
        login = self._sentinel_login if member in self.sentinels else self._login
        return redis.Redis(port=member.port, socket_timeout=5, decode_responses=True, password=login or None)

    def start(self) -> None:
        for member in self.members:
            member.start()
        eventually(
            lambda: self.of(self.replica).info("replication")["master_link_status"] == "up", "a replica"
        )
        for sentinel in self.sentinels:
            eventually(lambda sentinel=sentinel: self._knows_all(sentinel), "sentinels that know each other")

    def _knows_all(self, sentinel: Member) -> bool:
        seen = self.of(sentinel).sentinel_master(MASTER)
        return bool(
            seen["num-other-sentinels"] == 2 and seen["num-slaves"] == 1 and self._replica_is_fit(sentinel)
        )

    def _replica_is_fit(self, sentinel: Member) -> bool:
        [seen] = self.of(sentinel).sentinel_slaves(MASTER)
        return not seen["is_sdown"] and seen["master-link-status"] == "ok"

    def wait_for_the_replica(self) -> None:
        """Until it knows all that the master has told so far."""
        eventually(lambda: self.of(self.master).wait(1, 1000) == 1, "the replica being up to date")

    def cut_the_replica_off(self) -> None:
        """What the master is told from now on is unknown to the replica, which does nothing until SIGCONT."""
        self.replica.send(signal.SIGSTOP)
        self.of(self.master).client_kill_filter(_type="replica")

    def end(self, number: int = signal.SIGKILL) -> None:
        for member in self.members:
            member.end(number)


class RedisCluster:
    """Three masters that share the slots, each with as many replicas."""

    def __init__(self, folder: Path, replicas: int = 0) -> None:
        self._replicas = replicas
        self.nodes = [self._node(folder, i) for i in range(3 * (1 + replicas))]

    @staticmethod
    def _node(folder: Path, number: int) -> Member:
        bus = ("--cluster-port", str(free_port()))
        cluster = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
        return Member(folder, f"node{number}", *cluster, *bus)

    @property
    def address(self) -> str:
        return ",".join(node.address for node in self.nodes)

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        create = ["redis-cli", "--cluster", "create", *(node.address for node in self.nodes)]
        create += ["--cluster-replicas", str(self._replicas), "--cluster-yes"]
        subprocess.run(create, check=True, stdout=subprocess.DEVNULL, timeout=60)
        for node in self.nodes:
            eventually(lambda node=node: node.client.cluster("INFO")["cluster_state"] == "ok", "a cluster")

    def wait_for_the_replicas(self, node: Member) -> None:
        """Until one at least knows all that `node` has told so far."""
        eventually(lambda: node.client.wait(1, 1000) >= 1, "a replica being up to date")

    def owner(self, key: str) -> Member:
        for node in self.nodes:
            with contextlib.suppress(redis.exceptions.ResponseError):  # MOVED
                node.client.exists(key)
                return node
        raise AssertionError(f"{key} is nobody's")

    def slot(self, key: str) -> int:
        return int(self.nodes[0].client.execute_command("CLUSTER KEYSLOT", key))

    def end(self) -> None:
        for node in self.nodes:
            node.end(signal.SIGKILL)
