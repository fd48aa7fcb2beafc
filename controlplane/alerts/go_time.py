"""Times and durations as Go's templates show them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAYOUT = re.compile(
    r"January|Jan|Monday|Mon|MST|2006|_2|01|02|03|04|05|06|002|15|PM|pm"
    r"|-07:00|-0700|-07|Z07:00|Z0700|Z07|[.,]0+(?!\d)|[.,]9+(?!\d)|1|2|3|4|5"
)
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MOST_LAYOUT = 200


@dataclass(frozen=True, slots=True)
class Duration:
    seconds: float

    def __str__(self) -> str:
        """As Go: 1h2m3.5s."""
        if not self.seconds:
            return "0s"
        sign, left = ("-" if self.seconds < 0 else ""), abs(self.seconds)
        if left < 1:
            for unit, scale in (("ms", 1e3), ("µs", 1e6), ("ns", 1e9)):
                if left * scale >= 1:
                    return f"{sign}{_short(left * scale)}{unit}"
        hours, left = divmod(left, 3600)
        minutes, left = divmod(left, 60)
        shown = f"{int(hours)}h{int(minutes)}m" if hours else f"{int(minutes)}m" if minutes else ""
        return f"{sign}{shown}{_short(left)}s"

    def look(self, name: str) -> Any:
        return {
            "Seconds": self.seconds,
            "Minutes": self.seconds / 60,
            "Hours": self.seconds / 3600,
            "Milliseconds": int(self.seconds * 1e3),
        }[name]


def _short(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".")


@dataclass(frozen=True, slots=True)
class Time:
    """A moment, with the zone that it is shown in. value None: Go's zero time, year 1."""

    value: datetime | None

    @classmethod
    def at(cls, seconds: float) -> "Time":
        """Unix seconds; to the microsecond, which is what a float of today holds. ZERO where no year fits."""
        try:
            return cls(_EPOCH + timedelta(seconds=round(seconds, 6)))
        except OverflowError:
            return ZERO

    def __call__(self) -> "Time":
        """`now()` is `now`."""
        return self

    def moment(self) -> datetime:
        return self.value if self.value is not None else datetime(1, 1, 1, tzinfo=UTC)

    def rfc3339(self) -> str:
        """As Go's JSON: as many digits of a second as needed, Z for UTC."""
        return self.Format("2006-01-02T15:04:05.999999999Z07:00")

    def __str__(self) -> str:
        return self.Format("2006-01-02 15:04:05.999999999 -0700 MST")

    def __sub__(self, other: "Time") -> Duration:
        return Duration((self.moment() - other.moment()).total_seconds())

    def plus(self, duration: "Duration | float") -> "Time":
        """A number counts nanoseconds, as in `.StartsAt.Add 28800e9`, by which people reach their zone."""
        seconds = duration.seconds if isinstance(duration, Duration) else duration / 1e9
        try:
            return Time(self.moment() + timedelta(seconds=seconds))
        except OverflowError:
            return ZERO

    def before(self, other: "Time") -> bool:
        return self.moment() < other.moment()

    def after(self, other: "Time") -> bool:
        return self.moment() > other.moment()

    def same(self, other: "Time") -> bool:
        return self.moment() == other.moment()

    def Format(self, layout: str) -> str:
        """ValueError: a layout of more than 200 characters."""
        if len(layout) > MOST_LAYOUT:
            raise ValueError(f"a layout of {len(layout)} characters: up to {MOST_LAYOUT} are taken")
        moment = self.moment()
        return _LAYOUT.sub(lambda found: _shown(found.group(), moment), layout)

    def within(self, zone: str) -> "Time":
        """ValueError: no such zone."""
        try:
            return Time(self.moment().astimezone(UTC if zone in {"", "UTC"} else ZoneInfo(zone)))
        except OverflowError:
            return self
        except (KeyError, OSError) as error:
            raise ValueError(f"{zone!r} is no time zone; for example Europe/Berlin is one") from error

    def look(self, name: str) -> Any:
        moment = self.moment()
        if name in _METHODS:
            return _METHODS[name](self)
        if name in _PARTS:
            return _PARTS[name](moment)
        raise KeyError(name)


ZERO = Time(None)
_METHODS: "dict[str, Callable[[Time], Any]]" = {
    "Format": lambda time: time.Format,
    "Add": lambda time: time.plus,
    "Sub": lambda time: time.__sub__,
    "Before": lambda time: time.before,
    "After": lambda time: time.after,
    "Equal": lambda time: time.same,
    "UTC": lambda time: time.within("UTC"),
    "Local": lambda time: time.within("UTC"),
    "IsZero": lambda time: time.value is None,
}
_PARTS: dict[str, Callable[[datetime], Any]] = {
    "Unix": lambda moment: (moment - _EPOCH) // timedelta(seconds=1),
    "UnixMilli": lambda moment: (moment - _EPOCH) // timedelta(milliseconds=1),
    "Year": lambda moment: moment.year,
    "Month": lambda moment: _MONTHS[moment.month - 1],
    "Day": lambda moment: moment.day,
    "Hour": lambda moment: moment.hour,
    "Minute": lambda moment: moment.minute,
    "Second": lambda moment: moment.second,
    "Weekday": lambda moment: _DAYS[moment.weekday()],
    "YearDay": lambda moment: moment.timetuple().tm_yday,
}


def _shown(token: str, moment: datetime) -> str:
    if token[0] in ".," and len(token) > 1:
        digits = f"{moment.microsecond:06d}000"[: len(token) - 1]
        if token[1] == "0":
            return token[0] + digits
        return token[0] + digits.rstrip("0") if digits.strip("0") else ""
    if "07" in token:
        return _offset(token, moment)
    return str(_TOKENS[token](moment))


def _offset(token: str, moment: datetime) -> str:
    offset = moment.utcoffset() or timedelta()
    if token[0] == "Z" and not offset:
        return "Z"
    sign, minutes = ("-" if offset < timedelta() else "+"), abs(offset) // timedelta(minutes=1)
    hours, minutes = divmod(minutes, 60)
    if token.endswith("07"):
        return f"{sign}{hours:02d}"
    return f"{sign}{hours:02d}{':' if ':' in token else ''}{minutes:02d}"


def _zone(moment: datetime) -> str:
    name = moment.tzname() or "UTC"
    return "UTC" if moment.tzinfo is UTC else name


_TOKENS: dict[str, Callable[[datetime], Any]] = {
    "January": lambda moment: _MONTHS[moment.month - 1],
    "Jan": lambda moment: _MONTHS[moment.month - 1][:3],
    "Monday": lambda moment: _DAYS[moment.weekday()],
    "Mon": lambda moment: _DAYS[moment.weekday()][:3],
    "MST": _zone,
    "2006": lambda moment: f"{moment.year:04d}",
    "06": lambda moment: f"{moment.year % 100:02d}",
    "01": lambda moment: f"{moment.month:02d}",
    "1": lambda moment: moment.month,
    "02": lambda moment: f"{moment.day:02d}",
    "_2": lambda moment: f"{moment.day:2d}",
    "2": lambda moment: moment.day,
    "002": lambda moment: f"{moment.timetuple().tm_yday:03d}",
    "15": lambda moment: f"{moment.hour:02d}",
    "03": lambda moment: f"{(moment.hour - 1) % 12 + 1:02d}",
    "3": lambda moment: (moment.hour - 1) % 12 + 1,
    "04": lambda moment: f"{moment.minute:02d}",
    "4": lambda moment: moment.minute,
    "05": lambda moment: f"{moment.second:02d}",
    "5": lambda moment: moment.second,
    "PM": lambda moment: "PM" if moment.hour >= 12 else "AM",
    "pm": lambda moment: "pm" if moment.hour >= 12 else "am",
}
_PREFIXES = ("m", "u", "n", "p", "f", "a", "z", "y")


def humanize_duration(value: Any) -> str:
    """Prometheus' own way: 1d 2h 3m 4s, 5.5s, 12ms. ValueError: not a number."""
    seconds = value.seconds if isinstance(value, Duration) else float(value)
    if seconds != seconds or seconds in {float("inf"), float("-inf")}:
        return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}[str(seconds)]
    if abs(seconds) >= 1:
        return _long(abs(seconds), "-" if seconds < 0 else "")
    prefix = ""
    for smaller in _PREFIXES if seconds else ():
        if abs(seconds) >= 1:
            break
        prefix, seconds = smaller, seconds * 1000
    return f"{seconds:.4g}{prefix}s"


def _long(seconds: float, sign: str) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {rest}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {rest}s"
    return f"{sign}{minutes}m {rest}s" if minutes else f"{sign}{seconds:.4g}s"
