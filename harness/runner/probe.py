"""What another interpreter has: run by it as a script, asked and answered in JSON.

It stands alone, in the syntax that any Python reads: an interpreter that is too old says so.
"""

import json
import sys


def main():
    """Answer {"needs": modules that are imported, "modules": those that are only looked for}."""
    wanted = json.loads(sys.argv[1])
    answer = {"version": list(sys.version_info[:3])}
    if answer["version"] >= [3, 4, 0]:
        answer.update(look(wanted["needs"], wanted["modules"]))
    print(json.dumps(answer))


def look(needs, modules):
    """Return what is absent, what is broken and why, and how something could be installed."""
    import os
    import site
    from importlib.util import find_spec

    absent = [name for name in needs + modules if find_spec(name) is None]
    broken = {}
    for name in needs:
        if name not in absent:
            try:
                __import__(name)
            except Exception as error:
                broken[name] = type(error).__name__ + ": " + str(error)
    # Packages of the user's own folder are not used, but pip would call them installed.
    place = site.getusersitepackages()
    users = [name for name in absent if any(map(os.path.exists, list_places(place, name)))]
    return {"absent": absent, "broken": broken, "users": users, "pip": find_spec("pip") is not None}


def list_places(folder, name):
    """Return where a module may lie in a folder of packages."""
    return [folder + "/" + name, folder + "/" + name + ".py"]


if __name__ == "__main__":
    main()
