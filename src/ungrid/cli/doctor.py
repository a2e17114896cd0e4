"""`ungrid doctor`: what this machine has, and what to do where something is amiss."""

import os
import platform
import sys
from pathlib import Path
from typing import Any

from ungrid import __version__
from ungrid.cli.run import Run

CORE = ("torch", "numpy", "scipy", "numba", "safetensors")
EXTRAS = {
    "video": ("av",),
    "audio": ("soundfile",),
    "mesh": ("trimesh", "igl", "skimage"),
    "volume": ("nibabel", "nrrd"),
    "table": ("pyarrow", "pyproj"),
    "science": ("xarray", "h5netcdf", "netCDF4"),
    "plot": ("matplotlib",),
    "export": ("onnx", "onnxruntime"),
    "view": ("viser",),
}
KEEPING = {  # glibc gives large tensors back to the system after every step and gets them anew, page by page
    "MALLOC_TOP_PAD_": 2_000_000_000,
    "MALLOC_MMAP_THRESHOLD_": 4_000_000_000,
    "MALLOC_TRIM_THRESHOLD_": 8_000_000_000,
}
FEATURES = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve")


def doctor(run: Run) -> None:
    """Describe this machine and this installation, and name remedies."""
    from importlib.metadata import version
    from importlib.util import find_spec

    run.start()
    missing = [extra for extra, modules in EXTRAS.items() if not all(map(find_spec, modules))]
    found = {
        "ungrid": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        **{name: version(name) for name in CORE},
        "device": run.device,
        "threads": run.threads,
        **machine(),
        "extras": [extra for extra in EXTRAS if extra not in missing],
        "missing_extras": missing,
        "wait_policy": os.environ.get("OMP_WAIT_POLICY", "not set"),
        "allocator": allocator(),
    }
    advice = remedies(found)
    run.details.update(doctor=found, remedies=advice)
    run.page("This machine").table("Found", found)
    run.answer_rows({**found, "extras": found["extras"] or "none", "missing_extras": missing or "none"})
    run.answer("\n".join(f"- {line}" for line in advice) or "nothing amiss")


def machine() -> dict[str, Any]:
    """Processor, its vector instructions, the linear algebra behind torch, and the accelerators."""
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    return {
        "platform": platform.platform(),
        "processor": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "features": [name for name in FEATURES if name in (_cpuinfo("flags") or _cpuinfo("Features")).split()],
        "blas": "MKL" if torch.backends.mkl.is_available() else "OpenBLAS or Accelerate",
        "cuda_build": torch.version.cuda is not None,
        "gpu": torch.cuda.get_device_name(0) if cuda else "mps" if mps else "none",
    }


def allocator() -> str:
    """The C library's allocator, and whether it is told to keep large blocks."""
    library = platform.libc_ver()[0] or "system"
    kept = all(name in os.environ for name in KEEPING) or "LD_PRELOAD" in os.environ
    return f"{library}, {'tuned' if kept else 'default'}"


def _cpuinfo(key: str) -> str:
    """The first entry of that name in /proc/cpuinfo; empty where there is no such file."""
    source = Path("/proc/cpuinfo")
    lines = source.read_text(errors="replace").splitlines() if source.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.split(":")[0].strip() == key), "")


def remedies(found: dict[str, Any]) -> list[str]:
    """One line for everything that could be better, each with what to do."""
    lines = []
    if found["cuda_build"] and found["gpu"] == "none":
        lines.append(
            "torch is a CUDA build and there is no GPU: it works, but takes gigabytes; for the CPU build: "
            "pip install --index-url https://download.pytorch.org/whl/cpu torch"
        )
    if found["missing_extras"]:
        lines.append(f"for more formats: pip install 'ungrid[{','.join(found['missing_extras'])}]'")
    if isinstance(found["cores"], int) and found["threads"] > found["cores"]:
        lines.append(f"{found['threads']} threads on {found['cores']} cores slow each other down: use fewer --threads")
    if found["gpu"] == "none" and not {"avx2", "asimd"} & set(found["features"]):
        lines.append("the processor has no AVX2: fits take several times as long as on current machines")
    if found["allocator"] == "glibc, default":
        settings = " ".join(f"{name}={value}" for name, value in KEEPING.items())
        lines.append(f"wide networks train faster when glibc keeps the memory of large tensors: export {settings}")
    return lines
