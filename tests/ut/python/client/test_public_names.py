"""The package's surface: nothing by accident, nothing heavy at import."""

import subprocess
import sys
import types

import mindspore_federated.client as client


def test_every_public_name_is_exported():
    names = {
        name
        for name, value in vars(client).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert names == set(client.__all__)
    assert sorted(client.__all__) == client.__all__


def test_exceptions_are_in_the_drawn_tree():
    for name in client.__all__:
        value = getattr(client, name)
        if isinstance(value, type) and issubclass(value, Exception):
            assert issubclass(value, client.FederatedClientError)
            assert name in client.__doc__


def test_import_starts_nothing_and_needs_neither_core_nor_scikit_learn():
    code = (
        "import sys, threading, mindspore_federated.client\n"
        "heavy = {'sklearn', 'mindspore', 'torch', 'mindspore_federated._core'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert threading.active_count() == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
