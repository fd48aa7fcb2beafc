"""What `muster inventory` lists: apart from columns, so that the command starts without what draws them."""

from enum import StrEnum


class Inventory(StrEnum):
    RUNTIMES = "runtimes"
    NETWORKS = "networks"
    GPUS = "gpus"
    FEATURES = "features"
