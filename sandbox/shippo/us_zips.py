"""The ZIP codes of each US state, territory and freely associated state; the distance between two in price zones."""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt

# State -> its name and the first three digits of its ZIP codes, as ranges.
STATES: dict[str, tuple[str, str]] = {
    "AL": ("Alabama", "350-369"), "AK": ("Alaska", "995-999"), "AZ": ("Arizona", "850-865"),
    "AR": ("Arkansas", "716-729"), "CA": ("California", "900-961"), "CO": ("Colorado", "800-816"),
    "CT": ("Connecticut", "060-069"), "DE": ("Delaware", "197-199"),
    "DC": ("District of Columbia", "200-205 569-569"), "FL": ("Florida", "320-349"),
    "GA": ("Georgia", "300-319 398-399"), "HI": ("Hawaii", "967-968"), "ID": ("Idaho", "832-838"),
    "IL": ("Illinois", "600-629"), "IN": ("Indiana", "460-479"), "IA": ("Iowa", "500-528"), "KS": ("Kansas", "660-679"),
    "KY": ("Kentucky", "400-427"), "LA": ("Louisiana", "700-714"), "ME": ("Maine", "039-049"),
    "MD": ("Maryland", "206-219"), "MA": ("Massachusetts", "010-027 055-055"), "MI": ("Michigan", "480-499"),
    "MN": ("Minnesota", "550-567"), "MS": ("Mississippi", "386-397"), "MO": ("Missouri", "630-658"),
    "MT": ("Montana", "590-599"), "NE": ("Nebraska", "680-693"), "NV": ("Nevada", "889-898"),
    "NH": ("New Hampshire", "030-038"), "NJ": ("New Jersey", "070-089"), "NM": ("New Mexico", "870-884"),
    "NY": ("New York", "005-005 063-063 100-149"), "NC": ("North Carolina", "270-289"),
    "ND": ("North Dakota", "580-588"), "OH": ("Ohio", "430-459"), "OK": ("Oklahoma", "730-749"),
    "OR": ("Oregon", "970-979"), "PA": ("Pennsylvania", "150-196"), "RI": ("Rhode Island", "028-029"),
    "SC": ("South Carolina", "290-299"), "SD": ("South Dakota", "570-577"), "TN": ("Tennessee", "370-385"),
    "TX": ("Texas", "750-799 885-885"), "UT": ("Utah", "840-847"), "VT": ("Vermont", "050-059"),
    "VA": ("Virginia", "201-201 220-246"), "WA": ("Washington", "980-994"), "WV": ("West Virginia", "247-268"),
    "WI": ("Wisconsin", "530-549"), "WY": ("Wyoming", "820-831"), "PR": ("Puerto Rico", "006-007 009-009"),
    "VI": ("Virgin Islands", "008-008"), "GU": ("Guam", "969-969"), "AS": ("American Samoa", "967-967"),
    "MP": ("Northern Mariana Islands", "969-969"), "AA": ("Armed Forces Americas", "340-340"),
    "AE": ("Armed Forces Europe", "090-098"), "AP": ("Armed Forces Pacific", "962-966"),
    "FM": ("Federated States of Micronesia", "969-969"), "MH": ("Marshall Islands", "969-969"),
    "PW": ("Palau", "969-969"),
}  # fmt: skip
_CODES = {name.lower(): code for code, (name, _) in STATES.items()}
# The center of the area of each first digit, as degrees north and west.
_MIDDLES = ((41.5, 73.0), (41.5, 76.0), (37.0, 79.5), (31.5, 84.5), (40.3, 84.0), (44.0, 94.0), (39.5, 92.5),
            (32.5, 95.5), (38.5, 109.5), (38.5, 121.0))  # fmt: skip
# The upper limit of each zone in miles.
_ZONES = ((50, 1), (150, 2), (300, 3), (600, 4), (1000, 5), (1400, 6), (1800, 7))
_FAR = range(995, 1000), range(967, 970), range(6, 10)


def state_code(text: str) -> str | None:
    """Return the two-letter code of a state given as a code or by its name; None for an unknown state."""
    text = text.strip()
    return text.upper() if text.upper() in STATES else _CODES.get(text.lower())


def belongs(zip_code: str, state: str) -> bool:
    """Whether a ZIP code (five digits, or nine) is in the state (two letters)."""
    prefix = zip_code[:3]
    return any(low <= prefix <= high for low, high in (part.split("-") for part in STATES[state][1].split()))


def zone(origin: str, destination: str) -> int:
    """Return the zone, 1 to 8, between two ZIP codes, by the distance between the areas of their first three digits."""
    here, there = int(origin[:3]), int(destination[:3])
    if here == there:
        return 1
    if any(here in far or there in far for far in _FAR):
        return 8
    if here // 100 == there // 100:
        miles = abs(here - there) * 4.5  # the hundred prefixes of a first digit span about 450 miles
    else:
        miles = max(_miles(_MIDDLES[here // 100], _MIDDLES[there // 100]), 51.0)
    return next((number for bound, number in _ZONES if miles <= bound), 8)


def _miles(a: tuple[float, float], b: tuple[float, float]) -> float:
    (north_a, west_a), (north_b, west_b) = (tuple(map(radians, point)) for point in (a, b))
    h = sin((north_b - north_a) / 2) ** 2 + cos(north_a) * cos(north_b) * sin((west_b - west_a) / 2) ** 2
    return 2 * 3959 * asin(sqrt(h))
