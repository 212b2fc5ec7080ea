import ast
from pathlib import Path

import pytest

import okx_sol_async

PACKAGE = Path(okx_sol_async.__file__).parent

# From the bottom up, as in docs/design.md; modules of one row know nothing of each other.
# Most have a leading underscore in their file's name, which is left out here.
ROWS = (
    {"version"},
    {"models", "error_details"},
    {"writes"},
    {"errors"},
    {"error_codes", "checks"},
    {"codec", "config"},
    {"ratelimit"},
    {"endpoint"},
    {"signing"},
    {"transport"},
    {"checkup", "settings"},
    {"session", "redis", "opentelemetry", "prometheus"},
    {"staking", "emulator"},
    {"cli", "pytest_plugin"},
    {"__init__", "__main__"},
)
# The rows inside a package that stands as one name in a row above.
INNER_ROWS = {
    "codec": ({"__init__"}, {"envelope", "builtins"}, {"structure"}),
    "ratelimit": (
        {"__init__", "shared.__init__"},
        {"window", "waiters", "pacing", "latency", "loops"},
        {"limit"},
        {"state"},
        {"merging", "estimates"},
        {"turns"},
        {"bucket"},
        {"registry", "shared.outage", "shared.moves"},
        {"local", "shared.commands", "shared.subscription"},
        {"shared.store", "shared.batching"},
        {"shared.fallback"},
        {"shared.reserver"},
        {"shared.slots"},
        {"shared.limiter"},
    ),
    "signing": ({"__init__"}, {"redaction", "owners"}, {"credentials"}, {"signer"}),
    "transport": (
        {"__init__"},
        {"budget", "clock", "events", "http", "in_flight", "interruption", "resend", "shared_reads"},
        {"metrics", "measurements"},
        {"observed"},
        {"clock_sync", "failures"},
        {"response", "state"},
        {"attempt"},
        {"recovery", "report"},
        {"call"},
    ),
    "staking": (
        {"__init__"},
        {"arguments", "endpoints"},
        {"pagination", "reconciliation", "bulk", "polling"},
        {"write_log", "receipts"},
        {"writing"},
        {"client"},
    ),
    "emulator": (
        {"accounts.__init__", "gateway.__init__", "network.__init__", "control.__init__", "upstream.__init__"},
        {"arguments", "clock", "gateway.windows", "gateway.requests", "gateway.responses", "network.delay"},
        {"upstream.differences", "upstream.redaction"},
        {"accounts.orders", "accounts.maintenance", "accounts.product", "faults.plan", "network.connections"},
        {"accounts.ledger", "faults.base", "network.delivery"},
        {"accounts.state", "faults.replacements", "faults.disturbances", "faults.handshakes", "faults.injections"},
        {"accounts.users", "faults.__init__", "network.tls", "gateway.journal", "gateway.authentication"},
        {"gateway.parameters", "gateway.rows", "gateway.routes"},
        {"gateway.staking", "gateway.account", "gateway.stubs"},
        {"gateway.gateway"},
        {"control.fault_values", "control.snapshot"},
        {"upstream.recording"},
        {"upstream.forwarding"},
        {"network.server"},
        {"network.outage", "control.restore", "control.request_log"},
        {"exchange"},
        {"control.operations"},
        {"control.openapi"},
        {"control.api"},
        {"emulator"},
        {"process"},
        {"__init__"},
    ),
    "cli": (
        {"render.__init__", "commands.__init__"},
        {"argument_names", "exit_codes", "options", "question", "signals", "demo_exchange"},
        {"render.formatting", "render.messages", "render.progress", "render.sparkline", "render.apy_axes"},
        {"render.output", "render.apy_plot", "render.apy_svg", "connection"},
        {"render.watch_table"},
        {
            "commands.balance",
            "commands.product",
            "commands.history",
            "commands.apy",
            "commands.watch",
            "commands.write",
            "commands.emulator",
            "commands.doctor",
        },
        {"app"},
        {"commands.completion"},
        {"__init__"},
    ),
}
# Of each module its row, and its row inside its package.
LEVEL = {module: (level, 0) for level, row in enumerate(ROWS) for module in row}
for _package, _rows in INNER_ROWS.items():
    _level = LEVEL[_package][0]
    LEVEL |= {f"{_package}.{module}": (_level, inner) for inner, row in enumerate(_rows) for module in row}
    LEVEL = {module.removesuffix(".__init__"): level for module, level in LEVEL.items()}
# What makes the command line and the test fixture must not reach everybody who imports the package.
EXTRAS = {"cli", "redis", "opentelemetry", "prometheus", "pytest_plugin", "emulator"}
# Packages that are one thing to others, who import what they offer from the package itself.
CLOSED = {"emulator"}


def public(name: str) -> str:
    """Return the name of a module without the underscore that makes it private."""
    return name if name.startswith("__") else name.removeprefix("_")


def name_of(path: Path) -> str:
    """Return a module's name below the package: ``emulator.windows``, and ``emulator`` for its ``__init__``."""
    parts = [public(part) for part in path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


# What starts all of it is installed beside the package.
FILES = {name_of(path): path for path in PACKAGE.rglob("*.py") if "_entry" not in path.parts}
MODULES = sorted(FILES)


def package_of(module: str) -> str:
    """Return the package that a module lies in: ``emulator`` of ``emulator.windows``."""
    return module.partition(".")[0]


def below_package(module: str) -> str | None:
    """Return a module's name as it stands in the rows; ``None`` for one of another package."""
    package, *parts = module.split(".")
    return (".".join(map(public, parts)) or "__init__") if package == "okx_sol_async" else None


def imported_modules(module: str) -> set[str]:
    """Return the modules of the package that ``module`` imports, in any way and anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                whole = below_package(f"{node.module}.{alias.name}")
                names.add(whole if whole in LEVEL else below_package(node.module))
        elif isinstance(node, ast.Import):
            names |= {below_package(alias.name) for alias in node.names}
    return names - {None}


def is_below(other: str, module: str) -> bool:
    (row, inner), (other_row, other_inner) = LEVEL[module], LEVEL[other]
    return other_row < row or (package_of(other) == package_of(module) and other_inner < inner)


def test_every_module_has_its_row() -> None:
    """A module that is not in the order is not checked, so each one is in it."""
    assert set(MODULES) <= set(LEVEL)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    """A module imports from rows below its own only, `TYPE_CHECKING` imports included."""
    upward = {other for other in imported_modules(module) if not is_below(other, module)}

    assert set() == upward


@pytest.mark.parametrize("module", MODULES)
def test_a_package_is_imported_as_a_whole(module: str) -> None:
    """The modules inside a package are its own affair: others import what it offers from the package itself."""
    inner = {
        other
        for other in imported_modules(module)
        if package_of(other) in CLOSED - {package_of(module)} and "." in other
    }

    assert set() == inner


@pytest.mark.parametrize("module", [name for name in MODULES if package_of(name) not in EXTRAS | {"__main__"}])
def test_the_core_never_imports_an_extra(module: str) -> None:
    """A program that does not use the command line, Redis or the emulator does not pay for them."""
    assert set() == {package_of(other) for other in imported_modules(module)} & EXTRAS


def test_only_the_session_and_its_calls_talk_http() -> None:
    """The layers below a call are functions of plain values: none of them imports aiohttp at run time."""
    importers = set()
    for module in MODULES:
        tree = ast.parse(FILES[module].read_text())
        for node in tree.body:
            if isinstance(node, ast.Import) and any(alias.name == "aiohttp" for alias in node.names):
                importers.add(module)
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "aiohttp":
                importers.add(module)

    importing = {
        "transport.attempt",
        "transport.http",
        "emulator.network.delivery",
        "emulator.network.server",
        "emulator.control.api",
        "emulator.upstream.forwarding",
    }
    assert importing == importers
