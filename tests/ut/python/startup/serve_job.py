"""A Server process for tests: runs a job and prints one line of JSON for each hook.

usage: serve_job.py <yaml> <address> <checkpoint dir> [model|none] [hold]: with ``hold`` the hook of
iteration 1 waits for a line on standard input.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from mindspore_federated import Callback, CallbackContext, FeatureMap, FLServerJob


def tell(hook: str, **values: object) -> None:
    print(json.dumps({"hook": hook, **values}), flush=True)


class Teller(Callback):
    def __init__(self, hold: bool) -> None:
        self.hold = hold

    def after_started(self) -> None:
        tell("after_started")

    def on_iteration_end(self, context: CallbackContext) -> None:
        features = context.feature_map.feature_map()
        tell(
            "on_iteration_end",
            iteration=context.iteration_num,
            valid=context.iteration_valid,
            reason=context.iteration_result,
            fl_name=context.fl_name,
            instance=context.instance_name,
            checkpoint=context.checkpoint_file,
            weight=float(features["w"].data[0, 0]),
            flags={name: item.require_aggr for name, item in features.items()},
        )
        if self.hold and context.iteration_num == 1:
            sys.stdin.readline()
            tell("released")

    def before_stopped(self) -> None:
        tell("before_stopped")


def main() -> None:
    yaml_config, address, checkpoint_dir, model, *rest = sys.argv[1:]
    job = FLServerJob(yaml_config, address, checkpoint_dir=checkpoint_dir)
    features = FeatureMap()
    features.add_feature("w", np.zeros((2, 3), np.float32))
    features.add_feature("fixed", np.array(5, np.float32), require_aggr=False)
    try:
        result = job.run(features if model == "model" else None, Teller("hold" in rest))
    except RuntimeError as error:
        tell("error", text=str(error))
        raise SystemExit(3) from None
    tell("returned", result=result)


if __name__ == "__main__":
    main()
