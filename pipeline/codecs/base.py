"""What every codec is: waveforms in, codes [K, T] out, and back."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from pipeline.audio import Waveform
from pipeline.errors import RowError

if TYPE_CHECKING:
    import torch

_GPU_BUCKET = 32  # frames
# of a batch, whose memory it bounds: the released decoder takes some 19 MB a second of audio in float32, so
# 2.4 GB (engine/device.py leaves room for it); batches four times as long were 7 % faster on an H200
_FRAMES_TOGETHER = 3200
Codes = npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class CodecInfo:
    """A codec's numbers. `codebook_size` counts real codes: a model adds its own BOS and EOS."""

    id: str  # name@revision
    sample_rate: int  # Hz
    hop_length: int  # samples per frame
    num_codebooks: int
    codebook_size: int

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    def num_frames(self, num_samples: int) -> int:
        return math.ceil(num_samples / self.hop_length)


class Codec(Protocol):
    """A neural audio codec. What else was in the call changes no codes, and audio only by rounding."""

    @property
    def info(self) -> CodecInfo: ...

    @property
    def id(self) -> str: ...

    @property
    def sample_rate(self) -> int: ...

    @property
    def hop_length(self) -> int: ...

    @property
    def frame_rate(self) -> float: ...

    @property
    def num_codebooks(self) -> int: ...

    @property
    def codebook_size(self) -> int: ...

    def encode(self, waveforms: Sequence[Waveform]) -> list[Codes]:
        """Mono audio at `sample_rate` as codes [K, T], T = ceil(samples / hop_length).

        The last frame is filled up with zeros. Raises ValueError for another sample rate (nobody
        resamples here) and RowError `audio_empty` for no samples.
        """
        ...

    def decode(self, codes: Sequence[Codes]) -> list[Waveform]:
        """Codes [K, T] as T * hop_length samples. Raises RowError `no_audio_generated` where T is 0."""
        ...


class TorchCodec:
    """A codec made of two torch functions; everything but the network is here.

    `encode_batch` takes float [1, 1, N] with N a whole number of frames and gives codes [1, K, T];
    `decode_batch` takes int64 codes [B, K, T] and gives float [B, 1, about T * hop_length].
    """

    def __init__(
        self,
        info: CodecInfo,
        encode_batch: Callable[[torch.Tensor], torch.Tensor],
        decode_batch: Callable[[torch.Tensor], torch.Tensor],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        import torch

        self.info = info
        self._encode_batch = encode_batch
        self._decode_batch = decode_batch
        self._device = device
        self._dtype = dtype
        # beside whatever else the process runs on the GPU, such as an engine
        self._bucket = _GPU_BUCKET if device.type == "cuda" else 1
        self._side = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._lock = threading.Lock()

    @property
    def id(self) -> str:
        return self.info.id

    @property
    def sample_rate(self) -> int:
        return self.info.sample_rate

    @property
    def hop_length(self) -> int:
        return self.info.hop_length

    @property
    def frame_rate(self) -> float:
        return self.info.frame_rate

    @property
    def num_codebooks(self) -> int:
        return self.info.num_codebooks

    @property
    def codebook_size(self) -> int:
        return self.info.codebook_size

    def encode(self, waveforms: Sequence[Waveform]) -> list[Codes]:
        """See `Codec`. One clip at a time: codes are argmins, and a batched convolution rounds otherwise."""
        import torch

        padded = [_padded_to_hop(waveform, self.info) for waveform in waveforms]
        encoded: list[Codes] = []
        with torch.inference_mode():
            for samples in padded:
                batch = torch.from_numpy(samples)[None, None].to(self._device, self._dtype)
                encoded.append(self._encode_batch(batch)[0].cpu().numpy().astype(np.uint16))
        return encoded

    def decode(self, codes: Sequence[Codes]) -> list[Waveform]:
        """See `Codec`. Clips of equal length go together: padding would leak through the convolutions.

        On a GPU, where few clips would be equal, they are first filled up to a multiple of 32 frames with
        their own last one: what leaks into the end of a clip is then the clip's own, whoever its mates are.
        """
        import torch

        decoded: dict[int, Waveform] = {}
        with torch.inference_mode(), torch.cuda.stream(self._side), self._lock:
            for length, indices in _indices_by_length(codes, self.info, self._bucket).items():
                together = max(_FRAMES_TOGETHER // length, 1)
                for start in range(0, len(indices), together):
                    some = indices[start : start + together]
                    batch = torch.from_numpy(np.stack([_filled(codes[i], length) for i in some]))
                    audio = self._decode_batch(batch.to(self._device)).float().cpu().numpy()
                    for i, samples in zip(some, audio[:, 0], strict=True):
                        fitted = _fitted(samples, codes[i].shape[1] * self.hop_length)
                        decoded[i] = Waveform(fitted, self.sample_rate)
        return [decoded[i] for i in range(len(codes))]


def _padded_to_hop(waveform: Waveform, info: CodecInfo) -> npt.NDArray[np.float32]:
    if waveform.sample_rate != info.sample_rate:
        raise ValueError(
            f"{info.id} reads {info.sample_rate} Hz, got {waveform.sample_rate} Hz: resample first"
        )
    num_samples = len(waveform.samples)
    if num_samples == 0:
        raise RowError("audio_empty", "no samples to encode")
    return np.pad(waveform.samples, (0, info.num_frames(num_samples) * info.hop_length - num_samples))


def _indices_by_length(codes: Sequence[Codes], info: CodecInfo, bucket: int) -> dict[int, list[int]]:
    """Clips by their length, filled up to a multiple of `bucket` frames."""
    groups: dict[int, list[int]] = {}
    for index, clip in enumerate(codes):
        if clip.ndim != 2 or clip.shape[0] != info.num_codebooks:
            raise ValueError(f"{info.id} reads codes [{info.num_codebooks}, T], got {list(clip.shape)}")
        if clip.shape[1] == 0:
            raise RowError("no_audio_generated", "the model stopped before the first frame")
        groups.setdefault(-(-clip.shape[1] // bucket) * bucket, []).append(index)
    return groups


def _filled(clip: Codes, length: int) -> npt.NDArray[np.int64]:
    return np.pad(clip, ((0, 0), (0, length - clip.shape[1])), "edge").astype(np.int64)


def _fitted(samples: npt.NDArray[np.float32], length: int) -> npt.NDArray[np.float32]:
    # DAC's transposed convolutions with an odd stride come out some samples short of T * hop
    return np.pad(samples, (0, max(length - len(samples), 0)))[:length]
