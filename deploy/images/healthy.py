"""A container's health check: exit code 0 where this address answers 200 within two seconds."""

import sys
import urllib.request

TIMEOUT_SECONDS = 2.0

if __name__ == "__main__":
    # No proxy of the environment: what is asked is in this container.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(sys.argv[1], timeout=TIMEOUT_SECONDS) as answer:
            sys.exit(0 if answer.status == 200 else 1)
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error}")
