"""Sound files: WAV and FLAC.

Convention: one axis t in seconds; sample i stands at ``(i + 1/2) / rate``. Values float32 in [-1, 1], full scale 2;
16-bit samples are k / 32768, so that writing 16 bits gives the same numbers back.
"""

import os
import struct
from io import BufferedIOBase

import numpy as np

from ungrid._base.errors import InputError
from ungrid._base.optional import require
from ungrid.domains import Axis, Box, RegularGrid
from ungrid.io.arrays import check_samples, numbered
from ungrid.io.files import byte_count, check_decoded_size, existing_file, opened, replacing
from ungrid.sampling import GridSamples

_HIGHEST_RATE = 655_350  # of FLAC, in hertz
_OPEN_ENDED = 0x7FFFF000  # programs that stream a WAV write a data size from here up, meaning "until the end"


def read_audio(path: str | os.PathLike[str]) -> GridSamples:
    """Read a sound.

    Args:
        path: a WAV or FLAC file.

    Returns:
        Values (N, c); metadata: ``format``, ``subtype`` ("PCM_16", "FLOAT", ...) and ``sample_rate`` in hertz.

    Raises:
        InputError: if it is not a sound, is damaged or cut short, or has fewer than two samples.
    """
    soundfile = require("soundfile", "audio")
    file = existing_file(path)
    with opened(file, "a sound") as stream:
        _check_wav(stream)
        with soundfile.SoundFile(stream) as sound:
            frames, channels, rate = sound.frames, sound.channels, sound.samplerate
            check_decoded_size(4 * frames * channels, byte_count(stream), "a sound")
            values = sound.read(dtype="float32", always_2d=True)
            metadata = {"format": sound.format.lower(), "subtype": sound.subtype, "sample_rate": rate}
        if len(values) < frames:
            raise InputError(f"{file} holds {len(values)} of {frames} samples", "all of them", "it is cut short")
        check_samples((len(values),), "a sound")
    grid = RegularGrid(Box(Axis("t", 0.0, len(values) / rate, "s")), (len(values),))
    names = ("left", "right") if channels == 2 else numbered("sound", channels)
    return GridSamples(grid, values, names, "audio", 2.0, metadata)


def _check_wav(stream: BufferedIOBase) -> None:
    """Refuse a WAV whose data chunk is longer than the rest of the file; libsndfile would read the stump silently."""
    head, size = stream.read(12), byte_count(stream)
    while head[:4] == b"RIFF" and len(chunk := stream.read(8)) == 8:
        name, length = struct.unpack("<4sI", chunk)
        rest = size - stream.tell()
        if name == b"data":
            if rest < length < _OPEN_ENDED:
                raise InputError(f"a WAV with {rest} of {length} bytes of samples", "all of them", "it is cut short")
            break
        stream.seek(length + length % 2, os.SEEK_CUR)
    stream.seek(0)


def write_audio(path: str | os.PathLike[str], samples: GridSamples, *, subtype: str | None = None) -> None:
    """Write a sound at the rate of its grid, rounded to whole hertz.

    Args:
        path: .wav or .flac.
        samples: values (N, c) on an axis in seconds.
        subtype: "FLOAT" (exact, WAV only) or "PCM_16" (clipped to [-1, 1]); None takes 16 bits where the sound was
            read as such and for FLAC, else float.

    Raises:
        InputError: if the samples are no sound, have missing samples, or the format cannot hold them.
    """
    soundfile = require("soundfile", "audio")
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in (".wav", ".flac"):
        raise InputError(f"a sound named {suffix!r}", ".wav or .flac")
    if samples.values.ndim != 2 or samples.missing:
        raise InputError(f"samples of shape {samples.values.shape}, {samples.missing} missing", "a complete (N, c)")
    if samples.grid.box.axes[0].unit != "s":
        raise InputError("samples whose first axis is not in seconds", "a time axis", "give from_array a spacing")
    rate = round(1.0 / float(samples.grid.spacing[0]))
    if not 1 <= rate <= _HIGHEST_RATE:
        raise InputError(f"samples {samples.grid.spacing[0]:.4g} s apart", f"1 to {_HIGHEST_RATE} for each second")
    sixteen = suffix == ".flac" or samples.metadata.get("subtype") == "PCM_16"
    subtype = subtype or ("PCM_16" if sixteen else "FLOAT")
    if subtype not in ("PCM_16", "FLOAT") or (subtype == "FLOAT" and suffix == ".flac"):
        raise InputError(f"subtype {subtype!r} in a {suffix} file", "PCM_16, or FLOAT in a .wav")
    values = samples.values
    if subtype == "PCM_16":
        values = np.clip(np.rint(values.astype(np.float64) * 32768), -32768, 32767).astype(np.int16)
    with replacing(path) as temporary:
        soundfile.write(temporary, values, rate, subtype=subtype, format=suffix[1:].upper())
