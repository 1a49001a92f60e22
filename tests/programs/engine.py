"""A double of docker and podman: `run`, `ps` and `rm` as lastout uses them, and no containers.

What it has lies beside it, in `containers.json`, with how it is to behave:

    away       nothing can be done, as without a daemon
    hangs      it never comes back
    immortal   `rm` removes nothing
    refusals   how often `rm` fails, as while somebody else removes the container
    then       "gone": with the last refusal the container is gone
"""

import json
import os
import sys
import time

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "containers.json")


def main(verb, *args):
    state = load()
    state.setdefault("hosts", []).append(os.environ.get("DOCKER_HOST"))
    save(state)
    if state.get("hangs"):
        time.sleep(60)
    if state.get("away"):
        sys.exit("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.")
    {"run": run, "ps": ps, "rm": rm}[verb](state, args)


def load():
    try:
        with open(HERE, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {"containers": []}


def save(state):
    with open(HERE, "w", encoding="utf-8") as file:
        json.dump(state, file)


def run(state, args):
    _, name, _, label = args
    made = {"id": os.urandom(32).hex(), "name": name, "label": label}
    state["containers"].append(made)
    save(state)
    print(made["id"])


def ps(state, args):
    assert args[:4] == ("--all", "--no-trunc", "--format", "{{.ID}} {{.Names}}"), args
    wanted = args[5].removeprefix("label=") if args[4:5] == ("--filter",) else None
    for one in state["containers"]:
        key = one["label"].partition("=")[0]
        if wanted is None or wanted in (one["label"], key):
            print(one["id"], one["name"])


def rm(state, args):
    assert args[:2] == ("--force", "--volumes"), args
    for wanted in args[2:]:
        found = [one for one in state["containers"] if one["id"] == wanted]
        if state.get("refusals", 0) > 0:
            state["refusals"] -= 1
            if not state["refusals"] and state.get("then") == "gone":
                state["containers"].remove(found[0])
            save(state)
            name = found[0]["name"]
            sys.exit(
                f"Error response from daemon: removal of container {name} is already in progress"
            )
        for one in [] if state.get("immortal") else found:
            state["containers"].remove(one)
    save(state)


main(*sys.argv[1:])
