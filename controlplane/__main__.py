"""`python -m controlplane`: settings are read from MUSTER_*."""

import gc


def begin() -> None:
    # What is imported stays: looking for garbage in it is a tenth of the time until the API answers.
    gc.disable()
    from controlplane.app import main

    gc.enable()
    main()


if __name__ == "__main__":
    begin()
