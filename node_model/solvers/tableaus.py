"""Runge-Kutta methods as data. A new method is a page of constants and a citation; nothing else changes.

Every adaptive tableau is used in first-same-as-last form: a step is given f(t, y) and gives back f at the new t.
Where the published pair is not of that form (`heun2`, `dopri8`) one evaluation at the new point is added.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

from node_model.errors import SolverArgumentError

Row = tuple[float, ...]


@dataclass(frozen=True)
class ButcherTableau:
    """Constants of an explicit Runge-Kutta method; checks itself when built.

    `a[i]` has i entries; `b` are the weights of the solution, `b_err` those of the error estimate (b minus the
    embedded weights), None for a fixed-step method; `c` are the stage times as fractions of the step.

    Units: dimensionless.
    Errors: ValueError when a row sum, the weights or a length is inconsistent.
    """

    name: str
    order: int
    a: tuple[Row, ...]
    b: Row
    c: Row
    b_err: Row | None
    source: str = field(repr=False)

    def __post_init__(self) -> None:
        if not len(self.a) == len(self.b) == len(self.c):
            raise ValueError(f"{self.name}: a, b and c must have one entry per stage")
        for i, (row, c) in enumerate(zip(self.a, self.c, strict=True)):
            if len(row) != i or abs(sum(row) - c) > 1e-12:
                raise ValueError(f"{self.name}: row {i} of a must have {i} entries that sum to c[{i}]")
        if abs(sum(self.b) - 1) > 1e-12:
            raise ValueError(f"{self.name}: b must sum to 1")
        if self.b_err is not None and (len(self.b_err) != len(self.b) or abs(sum(self.b_err)) > 1e-12):
            raise ValueError(f"{self.name}: b_err must have one entry per stage and sum to 0")

    @cached_property
    def fsal(self) -> bool:
        """First same as last: the last stage is already f at the new point."""
        return self.b[-1] == 0 and self.a[-1] == self.b[:-1]

    @property
    def last_stage_in_error(self) -> bool:
        """Whether f at the new point weighs in the error estimate, which is then finite only where it is."""
        return self.fsal and self.b_err is not None and self.b_err[-1] != 0

    @property
    def nfe_attempt(self) -> int:
        """Field evaluations of one step when f(t, y) is given and f at the new point is returned."""
        return len(self.c) - 1 if self.fsal else len(self.c)


def _row(*entries: str | int) -> Row:
    return tuple(float(Fraction(entry)) for entry in entries)


def _difference(b: Row, b_low: Row) -> Row:
    return tuple(high - low for high, low in zip(b, b_low, strict=True))


HEUN2 = ButcherTableau(
    name="heun2",
    order=2,
    a=((), _row(1)),
    b=_row("1/2", "1/2"),
    c=_row(0, 1),
    b_err=_row("-1/2", "1/2"),
    source="Heun's method with Euler embedded; Hairer, Norsett & Wanner, Solving ODEs I, II.1 and II.4.",
)

BOSH3 = ButcherTableau(
    name="bosh3",
    order=3,
    a=((), _row("1/2"), _row(0, "3/4"), _row("2/9", "1/3", "4/9")),
    b=_row("2/9", "1/3", "4/9", 0),
    c=_row(0, "1/2", "3/4", 1),
    b_err=_difference(_row("2/9", "1/3", "4/9", 0), _row("7/24", "1/4", "1/3", "1/8")),
    source="Bogacki & Shampine 1989, A 3(2) pair of Runge-Kutta formulas.",
)

_DOPRI5_B = _row("35/384", 0, "500/1113", "125/192", "-2187/6784", "11/84", 0)
DOPRI5 = ButcherTableau(
    name="dopri5",
    order=5,
    a=(
        (),
        _row("1/5"),
        _row("3/40", "9/40"),
        _row("44/45", "-56/15", "32/9"),
        _row("19372/6561", "-25360/2187", "64448/6561", "-212/729"),
        _row("9017/3168", "-355/33", "46732/5247", "49/176", "-5103/18656"),
        _DOPRI5_B[:-1],
    ),
    b=_DOPRI5_B,
    c=_row(0, "1/5", "3/10", "4/5", "8/9", 1, 1),
    b_err=_difference(_DOPRI5_B, _row("5179/57600", 0, "7571/16695", "393/640", "-92097/339200", "187/2100", "1/40")),
    source="Dormand & Prince 1980, A family of embedded Runge-Kutta formulae, RK5(4)7M.",
)

_TSIT5_B = (
    0.09646076681806522951816731316512876,
    0.01,
    0.4798896504144995747752495322905965,
    1.379008574103741893192274821856872770756,
    -3.290069515436080679901047585711363850,
    2.324710524099773982415355918398765796,
    0.0,
)
TSIT5 = ButcherTableau(
    name="tsit5",
    order=5,
    a=(
        (),
        (0.161,),
        (-0.008480655492356988544426874250230774675, 0.3354806554923569885444268742502307746752),
        (
            2.897153057105493432130432594192938764925,
            -6.359448489975074843148159912383825626,
            4.362295432869581411017727318190886861,
        ),
        (
            5.325864828439256604428877920840511317836,
            -11.748883564062827877747170339785532961,
            7.495539342889836208304604784564358155658,
            -0.092495066361755249256502079332071919161,
        ),
        (
            5.861455442946420028659251486982647890394,
            -12.92096931784710929170611868178335939541,
            8.159367898576158643180400794539253485181,
            -0.0715849732814009972245305425258297386913,
            -0.028269050394068382909030572127122414671766,
        ),
        _TSIT5_B[:-1],
    ),
    b=_TSIT5_B,
    c=(0.0, 0.161, 0.327, 0.9, 0.9800255409045096857298102862870245954942, 1.0, 1.0),
    b_err=_difference(
        _TSIT5_B,
        (
            0.09468075576583945807478876255758922856,
            0.009183565540343253096776363936645313759813,
            0.4877705284247615707855642599631228241516,
            1.234297566930478985655109673884237654036,
            -2.7077123499835254549811090759793216706,
            1.866628418170587035753719399566211498666,
            1 / 66,
        ),
    ),
    source="Tsitouras 2011, Runge-Kutta pairs of order 5(4) satisfying only the first column simplifying assumption.",
)

_DOPRI8_A = (
    (),
    ("1/18",),
    (
        "1/48",
        "1/16",
    ),
    (
        "1/32",
        "0",
        "3/32",
    ),
    (
        "5/16",
        "0",
        "-75/64",
        "75/64",
    ),
    (
        "3/80",
        "0",
        "0",
        "3/16",
        "3/20",
    ),
    (
        "29443841/614563906",
        "0",
        "0",
        "77736538/692538347",
        "-28693883/1125000000",
        "23124283/1800000000",
    ),
    (
        "16016141/946692911",
        "0",
        "0",
        "61564180/158732637",
        "22789713/633445777",
        "545815736/2771057229",
        "-180193667/1043307555",
    ),
    (
        "39632708/573591083",
        "0",
        "0",
        "-433636366/683701615",
        "-421739975/2616292301",
        "100302831/723423059",
        "790204164/839813087",
        "800635310/3783071287",
    ),
    (
        "246121993/1340847787",
        "0",
        "0",
        "-37695042795/15268766246",
        "-309121744/1061227803",
        "-12992083/490766935",
        "6005943493/2108947869",
        "393006217/1396673457",
        "123872331/1001029789",
    ),
    (
        "-1028468189/846180014",
        "0",
        "0",
        "8478235783/508512852",
        "1311729495/1432422823",
        "-10304129995/1701304382",
        "-48777925059/3047939560",
        "15336726248/1032824649",
        "-45442868181/3398467696",
        "3065993473/597172653",
    ),
    (
        "185892177/718116043",
        "0",
        "0",
        "-3185094517/667107341",
        "-477755414/1098053517",
        "-703635378/230739211",
        "5731566787/1027545527",
        "5232866602/850066563",
        "-4093664535/808688257",
        "3962137247/1805957418",
        "65686358/487910083",
    ),
    (
        "403863854/491063109",
        "0",
        "0",
        "-5068492393/434740067",
        "-411421997/543043805",
        "652783627/914296604",
        "11173962825/925320556",
        "-13158990841/6184727034",
        "3936647629/1978049680",
        "-160528059/685178525",
        "248638103/1413531060",
        "0",
    ),
)
_DOPRI8_B = (
    "14005451/335480064",
    "0",
    "0",
    "0",
    "0",
    "-59238493/1068277825",
    "181606767/758867731",
    "561292985/797845732",
    "-1041891430/1371343529",
    "760417239/1151165299",
    "118820643/751138087",
    "-528747749/2220607170",
    "1/4",
)
_DOPRI8_B_LOW = (
    "13451932/455176623",
    "0",
    "0",
    "0",
    "0",
    "-808719846/976000145",
    "1757004468/5645159321",
    "656045339/265891186",
    "-3867574721/1518517206",
    "465885868/322736535",
    "53011238/667516719",
    "2/45",
    "0",
)

DOPRI8 = ButcherTableau(
    name="dopri8",
    order=8,
    a=tuple(_row(*row) for row in _DOPRI8_A),
    b=_row(*_DOPRI8_B),
    c=tuple(sum(_row(*row)) for row in _DOPRI8_A),
    b_err=_difference(_row(*_DOPRI8_B), _row(*_DOPRI8_B_LOW)),
    source="Prince & Dormand 1981, High order embedded Runge-Kutta formulae, RK8(7)13M.",
)

EULER = ButcherTableau(
    name="euler", order=1, a=((),), b=_row(1), c=_row(0), b_err=None, source="Euler 1768; Hairer et al., II.1."
)

MIDPOINT = ButcherTableau(
    name="midpoint",
    order=2,
    a=((), _row("1/2")),
    b=_row(0, 1),
    c=_row(0, "1/2"),
    b_err=None,
    source="Runge 1895; Hairer et al., II.1, table 1.1.",
)

RK4 = ButcherTableau(
    name="rk4",
    order=4,
    a=((), _row("1/2"), _row(0, "1/2"), _row(0, 0, 1)),
    b=_row("1/6", "1/3", "1/3", "1/6"),
    c=_row(0, "1/2", "1/2", 1),
    b_err=None,
    source="Kutta 1901, the classical method; Hairer et al., II.1, table 1.2.",
)

ADAPTIVE = {tableau.name: tableau for tableau in (HEUN2, BOSH3, DOPRI5, TSIT5, DOPRI8)}
FIXED_STEP = {tableau.name: tableau for tableau in (EULER, MIDPOINT, RK4)}


def tableau_of(method: str) -> ButcherTableau:
    """The tableau of a method name; an unknown name raises and lists the known ones."""
    try:
        return (ADAPTIVE | FIXED_STEP)[method]
    except KeyError:
        known = ", ".join(ADAPTIVE | FIXED_STEP)
        raise SolverArgumentError(f"method: expected one of {known}; got {method!r}") from None
