"""`python -m agents`: see --help."""

import sys

from pydantic import ValidationError

from agents.app import main
from agents.memory import give_back_large
from agents.settings import read_settings

if __name__ == "__main__":
    try:
        settings = read_settings(sys.argv[1:])
    except ValidationError as error:
        for problem in error.errors():
            name = "-".join(str(part) for part in problem["loc"]).replace("_", "-")
            sys.stderr.write(f"--{name}: {problem['msg']}\n")
        sys.exit(2)
    give_back_large()
    sys.exit(main(settings))
