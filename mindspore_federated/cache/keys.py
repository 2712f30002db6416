"""Names of the rows of a job's record, see the head of ccsrc/cache/job_store.h."""

from __future__ import annotations


def job_prefix(fl_name: str) -> str:
    """What all rows of a job begin with.

    A Redis Cluster keeps what shares the braces on one node; the name's own are escaped.
    """
    escaped = fl_name.replace("%", "%25").replace("{", "%7B").replace("}", "%7D")
    return f"ms_fl:{{{escaped}}}:"
