"""Converts handwritten characters between LEAF's JSON, the guides' folders of images, and .npz archives."""

from __future__ import annotations

import argparse
import sys

from femnist import KINDS, DataError, Writer, WrittenImages, merged, read, write


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help=".npz archive, LEAF's folder or file, or clients' folders of images")
    parser.add_argument("target", help="file or folder to write")
    parser.add_argument("--to", choices=KINDS, help="form of the target; default: by its name, else folders")
    parser.add_argument("--writers", type=int, help="how many of the source's writers; default: all")
    parser.add_argument("--merge", type=int, help="make each client of so many writers: dataset_0, ...")
    parser.add_argument("--seed", type=int, default=1, help="for what the source leaves open")
    given = parser.parse_args()
    if any(number is not None and number < 1 for number in (given.writers, given.merge)):
        parser.error("--writers and --merge should be at least 1")
    try:
        people = read(given.source, given.writers, given.seed)
        if given.merge:
            people = _merge(people, given.merge)
        write(people, given.target, given.to)
    except (DataError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    train = sum(len(writer.train) for writer in people.writers)
    test = sum(len(writer.test) for writer in people.writers)
    print(f"{len(people.writers)} clients, {train} images to train on, {test} to test on: {given.target}")
    return 0


def _merge(people: WrittenImages, of: int) -> WrittenImages:
    clients: list[Writer] = []
    for client, members in merged(people, of):
        first = len(clients) * of
        rule = "=" * 26
        print(f"{rule} combine the raw {first}~{first + of - 1} users to the new user: {client.name} {rule}")
        for member in members:
            print(f"{'-' * 13} process the raw user: {member.name} {'-' * 13}")
        clients.append(client)
    if not clients:
        raise DataError(f"{len(people.writers)} writers do not make one client of {of}")
    return WrittenImages(clients, people.others)


if __name__ == "__main__":
    sys.exit(main())
