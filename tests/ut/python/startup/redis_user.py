"""A process that uses an embedded Redis: prints its address, then waits for its standard input to end."""

from __future__ import annotations

import signal
import sys

from mindspore_federated.startup.embedded_redis import EmbeddedRedis


def main() -> None:
    redis = EmbeddedRedis(*sys.argv[1:])
    interrupted = False

    def on_signal(_number: int, _frame: object) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, on_signal)
    try:
        print(redis.open(), flush=True)
        for _ in sys.stdin:
            redis.tend()
            print("tended", flush=True)
    except KeyboardInterrupt:
        pass
    finally:
        redis.close()


if __name__ == "__main__":
    main()
