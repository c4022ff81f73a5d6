"""Code from the contracts: generated into a folder, which is put on the module path."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

CONTRACTS = Path(__file__).resolve().parents[2] / "proto"


def generate(into: Path) -> None:
    from grpc_tools import _proto, protoc  # noqa: PLC0415  (only needed where there are no stubs yet)

    files = sorted(str(path.relative_to(CONTRACTS)) for path in CONTRACTS.rglob("*.proto"))
    well_known = str(Path(next(iter(_proto.__path__))))
    options = [f"-I{CONTRACTS}", f"-I{well_known}", f"--python_out={into}", f"--grpc_python_out={into}"]
    if protoc.main(["protoc", *options, *files]) != 0:
        raise SystemExit("the contracts do not compile")


def load(folder: Path) -> SimpleNamespace:
    sys.path.insert(0, str(folder))
    names = {
        "intake": "haetae.intake.v1.intake_service_pb2",
        "intake_grpc": "haetae.intake.v1.intake_service_pb2_grpc",
        "request": "haetae.intake.v1.request_pb2",
        "authorisation": "haetae.exchange.v1.authorisation_pb2",
        "envelope": "haetae.exchange.v1.envelope_pb2",
        "order": "haetae.exchange.v1.order_pb2",
        "statement": "haetae.exchange.v1.statement_pb2",
        "trail": "haetae.tracking.v1.trail_pb2",
        "log": "haetae.log.v1.log_pb2",
    }
    return SimpleNamespace(**{name: importlib.import_module(module) for name, module in names.items()})
