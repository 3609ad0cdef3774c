"""A Ray cluster of several raylets on this machine, in a process of its own: commands on stdin, answers on stdout.

add CPUS          -> the new node's id
actors            -> {class name: [ids of the nodes they live on]}
kill NODE         -> its raylet dies as in a machine that is taken away
end
"""

from __future__ import annotations

import json
import os
import sys

os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"

import ray
from ray._private import ray_constants
from ray.cluster_utils import Cluster

ray_constants.ENABLE_RAY_CLUSTER = False  # loopback only, as in pipeline/flow.py
_STORE_BYTES = 200 * 2**20


def main() -> None:
    # what Ray says on stdout must not pass for an answer
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(text: str) -> None:
        print(text, file=answers, flush=True)

    # the head has no work of its own, as in infra/
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": _STORE_BYTES}
    )
    ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)
    nodes = {}
    answer(cluster.address)
    for line in sys.stdin:
        word, *given = line.split()
        if word == "add":
            cpus, gpus = map(int, given)
            node = cluster.add_node(num_cpus=cpus, num_gpus=gpus, object_store_memory=_STORE_BYTES)
            nodes[node.node_id] = node
            answer(node.node_id)
        elif word == "actors":
            where: dict[str, list[str]] = {}
            for actor in ray._private.state.actors().values():
                if actor["State"] == "ALIVE":
                    where.setdefault(actor["ActorClassName"], []).append(actor["Address"]["NodeID"])
            answer(json.dumps(where))
        elif word == "kill":
            cluster.remove_node(nodes.pop(given[0]), allow_graceful=False)
            answer("killed")
        else:
            break
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
